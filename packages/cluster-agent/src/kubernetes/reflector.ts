import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiServer, WatchEvent } from './api-server.ts';
import { ApiServerError } from './api-server.ts';
import type { Metadata } from './objects.ts';

interface Listed<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly T[];
}

export interface Reflected<T> {
  set(object: T): void;
  remove(object: T): void;
  /** All there was at a version, after it could not be followed: what is older and not in it is gone. */
  replace(objects: readonly T[], version: string): void;
}

/** So many objects in one answer: of 24,000 pods at once the server holds 100 MB. */
const PAGE = 500;
const RETRY_MS = 200;
/** After a cut both sides are to agree within 10 s. */
const RETRY_MS_MAX = 5000;
/** The server ends a watch after this; then it goes on where it was. */
const WATCH_SECONDS = 290;
/** A bookmark comes every minute or so: one that says less has lost its connection unnoticed. */
const WATCH_SILENCE_MS = 150_000;

/**
 * Follows a collection: lists it once, by pages, then watches, resuming by the version of what came
 * last, bookmarks included. It lists again only when the server no longer has that version (410).
 */
export class Reflector<T extends { readonly metadata: Metadata }> {
  readonly #api: ApiServer;
  readonly #path: string;
  readonly #selector: string;
  readonly #into: Reflected<T>;
  readonly #log: (message: string, details: object) => void;
  readonly #stop = new AbortController();
  #version = '';
  #loop: Promise<void> = Promise.resolve();

  constructor(
    api: ApiServer,
    collection: { readonly path: string; readonly fieldSelector?: string },
    into: Reflected<T>,
    log: (message: string, details: object) => void,
  ) {
    this.#api = api;
    this.#path = collection.path;
    this.#selector =
      collection.fieldSelector === undefined
        ? ''
        : `&fieldSelector=${encodeURIComponent(collection.fieldSelector)}`;
    this.#into = into;
    this.#log = log;
  }

  /** Resolves when all there is has been taken in. */
  async start(): Promise<void> {
    await this.#relist();
    this.#loop = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #relist(): Promise<void> {
    for (let retryMs = RETRY_MS; !this.#isStopped; retryMs = Math.min(RETRY_MS_MAX, retryMs * 2)) {
      try {
        this.#into.replace(await this.#list(), this.#version);
        return;
      } catch (error) {
        if (this.#isStopped) return;
        this.#log('a list was refused', { path: this.#path, error: String(error) });
        await this.#pause(Math.max(retryMs, retryAfterOf(error)));
      }
    }
  }

  async #list(): Promise<T[]> {
    const items: T[] = [];
    let next = '';
    do {
      const query = `?limit=${PAGE}${this.#selector}${next && `&continue=${encodeURIComponent(next)}`}`;
      const page: Listed<T> = await this.#api.request('GET', this.#path + query);
      items.push(...page.items);
      next = page.metadata.continue ?? '';
      this.#version = page.metadata.resourceVersion;
    } while (next !== '');
    return items;
  }

  async #follow(): Promise<void> {
    let retryMs = RETRY_MS;
    const rest = async (error: unknown): Promise<void> => {
      await this.#pause(Math.max(retryMs, retryAfterOf(error)));
      retryMs = Math.min(RETRY_MS_MAX, retryMs * 2);
    };
    while (!this.#isStopped) {
      const version = this.#version;
      const begunMs = performance.now();
      try {
        const path = `${this.#path}?watch=1&allowWatchBookmarks=true&timeoutSeconds=${WATCH_SECONDS}&resourceVersion=${version}${this.#selector}`;
        for await (const event of this.#api.watch<T>(path, this.#stop.signal, WATCH_SILENCE_MS)) {
          this.#take(event);
          retryMs = RETRY_MS;
        }
        // A proxy may end what is idle; a server that goes down, watches as soon as they have begun.
        if (performance.now() - begunMs > RETRY_MS_MAX) retryMs = RETRY_MS;
        else if (version === this.#version) await rest(undefined);
      } catch (error) {
        if (this.#isStopped) return;
        if (performance.now() - begunMs > RETRY_MS_MAX) retryMs = RETRY_MS;
        const isGone = error instanceof ApiServerError && error.status === 410;
        if (isGone) this.#log('the watch fell behind; all is listed again', { path: this.#path });
        else this.#log('a watch broke; it goes on', { path: this.#path, error: String(error) });
        if (isGone) await this.#relist();
        // What has just been listed can be gone again only where something is wrong.
        await rest(error);
      }
    }
  }

  #take({ type, object }: WatchEvent<T>): void {
    if (type === 'ERROR') {
      const { code = 500, message = '' } = object as unknown as { code?: number; message?: string };
      throw new ApiServerError(message, code, 0);
    }
    this.#version = object.metadata.resourceVersion ?? this.#version;
    if (type === 'DELETED') this.#into.remove(object);
    else if (type !== 'BOOKMARK') this.#into.set(object);
  }

  get #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  #pause(delayMs: number): Promise<void> {
    return sleep(delayMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }
}

const retryAfterOf = (error: unknown): number =>
  error instanceof ApiServerError ? error.retryAfterMs : 0;
