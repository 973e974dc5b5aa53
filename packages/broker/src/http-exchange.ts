import { readFile } from 'node:fs/promises';
import type { AgentOrders } from '@majorana/protocol';
import type { Exchange } from './ports.ts';

export type ApiFetch = (path: string, init: RequestInit) => Promise<Response>;

/** The control plane's API, as an agent uses it; the token is read anew, since it may be renewed. */
export function apiFetch(url: string, tokenFile: string): ApiFetch {
  return async (path, init) => {
    const token = (await readFile(tokenFile, 'utf8')).trim();
    const response = await fetch(`${url}/api/v1/${path}`, {
      ...init,
      headers: {
        authorization: `Bearer ${token}`,
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
    });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
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
