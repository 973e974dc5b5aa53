import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { linesOf } from './lines.ts';

/** How to reach an API server: what a kubeconfig holds. */
export interface KubernetesAccess {
  readonly server: string;
  readonly caPem: string;
  readonly token: string;
}

/** The parts of a Kubernetes object that the harness itself reads. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly resourceVersion?: string;
    readonly annotations?: Record<string, string>;
    readonly deletionTimestamp?: string;
  };
  readonly [field: string]: unknown;
}

export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
}

/** The server's refusal, with its status. */
export class KubernetesApiError extends Error {
  readonly status: number;
  readonly retryAfter: string | undefined;

  constructor(message: string, status: number, retryAfter?: string) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += chunk;
  return text;
}

/**
 * The few calls that tests and benches make. It repeats nothing and hides nothing: a test wants to
 * see each answer, and the bench wants no more than the bytes.
 */
export class KubernetesApi implements Disposable {
  readonly access: KubernetesAccess;
  readonly #connectionsMax: number;
  #agent: https.Agent;

  constructor(access: KubernetesAccess, connectionsMax = 64) {
    this.access = access;
    this.#connectionsMax = connectionsMax;
    this.#agent = this.#agentFor(access.caPem);
  }

  #agentFor(ca: string): https.Agent {
    return new https.Agent({ keepAlive: true, maxSockets: this.#connectionsMax, ca });
  }

  /** Another authority than before. */
  trust(caPem: string): void {
    this.#agent.destroy();
    this.#agent = this.#agentFor(caPem);
  }

  get<T>(path: string): Promise<T> {
    return this.request('GET', path);
  }

  create<T>(path: string, body: object): Promise<T> {
    return this.request('POST', path, body);
  }

  delete<T>(path: string, gracePeriodSeconds?: number): Promise<T> {
    const query =
      gracePeriodSeconds === undefined ? '' : `?gracePeriodSeconds=${gracePeriodSeconds}`;
    return this.request('DELETE', path + query);
  }

  /** The answer as text: /readyz, /metrics, a pod's log. */
  async text(path: string): Promise<string> {
    return textOf(await this.#answered(await this.#send('GET', path), 'GET', path));
  }

  async request<T>(method: string, path: string, body?: object): Promise<T> {
    const answer = await this.#answered(await this.#send(method, path, body), method, path);
    return JSON.parse(await textOf(answer)) as T;
  }

  /** Every event until the server or the signal ends it. */
  async *watch<T = KubernetesObject>(
    path: string,
    signal?: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    const answer = await this.#answered(
      await this.#send('GET', path, undefined, signal),
      'GET',
      path,
    );
    for await (const line of linesOf(answer)) yield JSON.parse(line) as WatchEvent<T>;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  #send(
    method: string,
    path: string,
    body?: object,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.access.token}` };
    if (body !== undefined) {
      const isPatch = method === 'PATCH';
      headers['content-type'] = isPatch ? 'application/merge-patch+json' : 'application/json';
    }
    return new Promise((resolve, reject) => {
      const url = this.access.server + path;
      const request = https.request(url, { agent: this.#agent, method, headers, signal }, resolve);
      request.on('error', reject);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  async #answered(answer: IncomingMessage, method: string, path: string): Promise<IncomingMessage> {
    const status = answer.statusCode ?? 0;
    if (status < 400) return answer;
    const text = await textOf(answer);
    throw new KubernetesApiError(
      `${method} ${path} was answered with ${status}: ${text.slice(0, 500)}`,
      status,
      answer.headers['retry-after'],
    );
  }
}
