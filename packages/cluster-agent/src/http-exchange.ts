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

/** The control plane's API, as an agent uses it; the token is read anew, since it may be renewed. */
export class HttpControlPlane {
  readonly #url: string;
  readonly #tokenFile: string;

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
    const token = (await readFile(this.#tokenFile, 'utf8')).trim();
    const response = await fetch(`${this.#url}/api/v1/${path}`, {
      ...init,
      headers: {
        authorization: `Bearer ${token}`,
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
    });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return response;
  }
}
