import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { AgentOrders } from '@majorana/protocol';
import type { AgentClock, Exchange } from './engine/ports.ts';
import type { RunnerObjects } from './runner/runner-end.ts';

export const systemClock: AgentClock = {
  nowMs: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/** A token that was renewed is known after this at the latest. */
const TOKEN_TTL_MS = 10_000;

/** The control plane's API, as an agent uses it; the token is read again, since it may be renewed. */
export class HttpControlPlane {
  readonly #url: string;
  readonly #tokenFile: string;
  #token = { text: '', atMs: -Infinity };

  constructor(url: string, tokenFile: string) {
    this.#url = url;
    this.#tokenFile = tokenFile;
  }

  readonly exchange: Exchange = async (sync, signal) => {
    const body = JSON.stringify(sync);
    const response = await this.#fetch('agents/sync', { method: 'POST', body, signal });
    return (await response.json()) as AgentOrders;
  };

  get objects(): RunnerObjects {
    return {
      read: async (object) => {
        const { body } = await this.#fetch(`objects/${object}`, {});
        return Readable.fromWeb(body!);
      },
    };
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const token = await this.#presentToken();
    const response = await fetch(`${this.#url}/api/v1/${path}`, {
      ...init,
      headers: {
        authorization: `Bearer ${token}`,
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
    });
    if (response.status === 401) this.#token.atMs = -Infinity;
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return response;
  }

  async #presentToken(): Promise<string> {
    if (Date.now() - this.#token.atMs > TOKEN_TTL_MS) {
      const text = (await readFile(this.#tokenFile, 'utf8')).trim();
      this.#token = { text, atMs: Date.now() };
    }
    return this.#token.text;
  }
}
