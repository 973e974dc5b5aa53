import { readFile } from 'node:fs/promises';
import type { AgentOrders } from '@majorana/protocol';
import type { Exchange } from './ports.ts';

export type ApiFetch = (path: string, init: RequestInit) => Promise<Response>;

/** What the control plane refused, with its status. */
export class ControlPlaneError extends Error {
  override name = 'ControlPlaneError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(`${status} ${message}`);
    this.status = status;
  }
}

export type TokenSource = () => Promise<string>;

/** Read anew for each request, since it may be renewed. */
export const tokenIn =
  (file: string): TokenSource =>
  async () =>
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

/** "fetch failed" alone helps nobody: the cause says where and why. */
const unreachable =
  (url: string) =>
  (error: Error): never => {
    const { cause } = error;
    if (!(cause instanceof Error)) throw error;
    const why = cause.message || String((cause as { code?: unknown }).code);
    throw new Error(`${url} cannot be reached: ${why}`, { cause });
  };

/** The control plane's API, as an agent uses it. */
export function apiFetch(url: string, token: TokenSource): ApiFetch {
  return async (path, init) => {
    const response = await fetch(`${url}/api/v1/${path}`, {
      ...init,
      headers: {
        authorization: `Bearer ${await token()}`,
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
    }).catch(unreachable(url));
    if (!response.ok) throw new ControlPlaneError(response.status, await detailOf(response));
    return response;
  };
}

export function httpExchange(api: ApiFetch): Exchange {
  return async (sync, signal) => {
    const body = JSON.stringify(sync);
    const response = await api('agents/sync', { method: 'POST', body, signal });
    return (await response.json()) as AgentOrders;
  };
}
