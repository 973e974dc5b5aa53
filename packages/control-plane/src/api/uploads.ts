import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ObjectStore } from '@majorana/objects';
import type { UploadState } from '@majorana/protocol';
import { ProblemError } from './problem.ts';

export interface UploadName {
  /** Each has uploads of their own: nobody spoils another's. */
  readonly user: string;
  /** What the whole of it will be. */
  readonly object: string;
}

/** A line without a byte for so long is taken for broken when somebody else comes. */
const SILENCE_MAX_MS = 5000;

/** One request that works on an upload. */
class Turn {
  readonly #body: Readable | undefined;
  #heardMs = Date.now();
  /** Settled when the request is done, well or not. */
  done: Promise<unknown> = Promise.resolve();

  constructor(body?: Readable) {
    this.#body = body;
  }

  heard(): void {
    this.#heardMs = Date.now();
  }

  /** Its end; when its line is silent it is ended. */
  async ended(): Promise<void> {
    const watch = setInterval(() => {
      if (Date.now() - this.#heardMs > SILENCE_MAX_MS) this.#body?.destroy();
    }, SILENCE_MAX_MS / 5);
    await this.done.catch(() => undefined);
    clearInterval(watch);
  }
}

async function sizeOf(file: string): Promise<number> {
  const stats = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  return stats?.size ?? 0;
}

/** Passes on no more than what was announced. */
function atMost(bytes: number, turn: Turn): Transform {
  let left = bytes;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      turn.heard();
      left -= chunk.length;
      const what = 'more bytes came than the size says';
      done(left < 0 ? new ProblemError(422, 'wrong_content', what) : null, chunk);
    },
  });
}

/**
 * Objects that come in pieces. An upload is named by what it will be, so that a client which was
 * killed finds it again without having kept anything. What is here is a file; its size is the
 * offset, whatever happened to the request that brought it.
 */
export class Uploads {
  readonly #folder: string;
  readonly #objects: ObjectStore;
  readonly #turns = new Map<string, Turn>();

  constructor(folder: string, objects: ObjectStore) {
    this.#folder = folder;
    this.#objects = objects;
  }

  #fileOf({ user, object }: UploadName): string {
    const owner = createHash('sha256').update(user).digest('hex').slice(0, 16);
    return path.join(this.#folder, `${owner}-${object}`);
  }

  /** One after the other: who sends the same as another waits, and finds it sent. */
  async #inTurn<T>(file: string, turn: Turn, work: () => Promise<T>): Promise<T> {
    const earlier = this.#turns.get(file);
    const done = (earlier?.ended() ?? Promise.resolve()).then(work);
    turn.done = done;
    this.#turns.set(file, turn);
    try {
      return await done;
    } finally {
      if (this.#turns.get(file) === turn) this.#turns.delete(file);
    }
  }

  state(name: UploadName): Promise<UploadState> {
    const file = this.#fileOf(name);
    return this.#inTurn(file, new Turn(), async () => {
      if (await this.#objects.touch(name.object)) {
        const { sizeBytes } = await this.#objects.stat(name.object);
        return { offsetBytes: sizeBytes, isStored: true };
      }
      return { offsetBytes: await sizeOf(file), isStored: false };
    });
  }

  append(
    name: UploadName,
    at: { readonly offset: number; readonly size: number },
    body: Readable,
  ): Promise<UploadState> {
    const file = this.#fileOf(name);
    const turn = new Turn(body);
    return this.#inTurn(file, turn, async () => {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const here = await sizeOf(file);
      // Another may have sent it meanwhile.
      if (here === 0 && (await this.#objects.touch(name.object))) {
        return { offsetBytes: at.size, isStored: true };
      }
      if (here !== at.offset) {
        const what = `${here} bytes of it are here: go on there, not at ${at.offset}`;
        throw new ProblemError(409, 'upload_moved', what);
      }
      turn.heard();
      const target = createWriteStream(file, { flags: 'a', mode: 0o600 });
      await pipeline(body, atMost(at.size - here, turn), target);
      const offsetBytes = await sizeOf(file);
      if (offsetBytes < at.size) return { offsetBytes, isStored: false };
      await this.#settle(name.object, file);
      return { offsetBytes, isStored: true };
    });
  }

  async #settle(object: string, file: string): Promise<void> {
    const stored = await this.#objects.putFile(file);
    await rm(file, { force: true });
    if (stored.object === object) return;
    const what = `what came has the SHA-256 ${stored.object}, not ${object}: send it anew`;
    throw new ProblemError(422, 'wrong_content', what);
  }

  /** Uploads that nobody has gone on with. */
  async removeOld(writtenBeforeMs: number): Promise<void> {
    for (const name of await readdir(this.#folder).catch(() => [])) {
      const file = path.join(this.#folder, name);
      const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: Infinity }));
      if (mtimeMs < writtenBeforeMs) await rm(file, { force: true });
    }
  }
}
