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

/** What the control plane refused, with its status. */
export class ControlPlaneError extends Error {
  override name = 'ControlPlaneError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(`${status} ${message}`);
    this.status = status;
  }
}

/** Read anew for each request, since it may be renewed. */
export const tokenIn = (file: string) => async (): Promise<string> =>
  (await readFile(file, 'utf8')).trim();

/** The `detail` of a problem, or what else was answered. */
async function detailOf(response: Response): Promise<string> {
  const content = await response.text();
  try {
    return (JSON.parse(content) as { detail?: string }).detail ?? content;
  } catch {
    return content.slice(0, 500);
  }
}

/** The control plane's API, as an agent uses it. */
export class HttpControlPlane {
  readonly #url: string;
  readonly #token: () => Promise<string>;

  constructor(url: string, token: () => Promise<string>) {
    this.#url = url;
    this.#token = token;
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
    const response = await fetch(`${this.#url}/api/v1/${path}`, {
      ...init,
      headers: {
        authorization: `Bearer ${await this.#token()}`,
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
    });
    if (!response.ok) throw new ControlPlaneError(response.status, await detailOf(response));
    return response;
  }
}
