import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { ApiStats } from './api-stats.ts';
import type { Access, Credentials } from './kubeconfig.ts';

/** A refusal of the API server. */
export class ApiServerError extends Error {
  override name = 'ApiServerError';
  readonly status: number;
  /** What it asked for with 429 or 503; 0: nothing. */
  readonly retryAfterMs: number;

  constructor(message: string, status: number, retryAfterMs: number) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
}

/** With more, creations a second did not grow: 0009-kubernetes-client.md. */
const CONNECTIONS_MAX = 64;
const ANSWER_PATIENCE_MS = 30_000;
/** Credentials are asked for again after this: a mounted token is renewed every hour or so. */
const CREDENTIALS_TTL_MS = 60_000;

/** The few requests an agent makes, over kept connections. It repeats nothing: who asks knows how. */
export class ApiServer implements Disposable {
  readonly stats = new ApiStats();
  readonly #access: Access;
  readonly #agent: https.Agent;
  readonly #watchAgent: https.Agent;
  #credentials: { readonly value: Credentials; readonly atMs: number } | undefined;

  constructor(access: Access) {
    const { ca, serverName, isUnverified, proxyUrl } = access;
    this.#access = access;
    const trust = {
      ...(ca !== undefined && { ca }),
      ...(serverName !== undefined && { servername: serverName }),
      rejectUnauthorized: !isUnverified,
      // Only what the kubeconfig says: the variables of whoever starts the agent are not for it.
      ...(proxyUrl !== undefined && { proxyEnv: { HTTPS_PROXY: proxyUrl } }),
    };
    this.#agent = new https.Agent({ ...trust, keepAlive: true, maxSockets: CONNECTIONS_MAX });
    this.#watchAgent = new https.Agent(trust);
  }

  async request<T>(method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
    return JSON.parse(await this.#answerTo(method, path, body)) as T;
  }

  /** The answer holds the whole object once more, which nobody reads. */
  async delete(path: string): Promise<void> {
    await this.#answerTo('DELETE', path, undefined);
  }

  async #answerTo(method: string, path: string, body: object | undefined): Promise<string> {
    const signal = AbortSignal.timeout(ANSWER_PATIENCE_MS);
    const { answer, content } = await this.stats.measure(async () => {
      const answer = await this.#send(method, path, { body, signal, agent: this.#agent });
      return { answer, content: await text(answer), status: answer.statusCode ?? 0 };
    });
    if ((answer.statusCode ?? 0) >= 400) throw this.#refusal(answer, `${method} ${path}`, content);
    return content;
  }

  /** Events until the server, the network, the signal or a silence this long ends it. */
  async *watch<T>(
    path: string,
    signal: AbortSignal,
    silenceMs: number,
  ): AsyncGenerator<WatchEvent<T>> {
    const answer = await this.#send('GET', path, { signal, agent: this.#watchAgent, silenceMs });
    if ((answer.statusCode ?? 0) >= 400)
      throw this.#refusal(answer, `GET ${path}`, await text(answer));
    for await (const line of linesOf(answer))
      if (line !== '') yield JSON.parse(line) as WatchEvent<T>;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
    this.#watchAgent.destroy();
  }

  /** Credentials that are not taken may have been replaced since they were read. */
  #refusal(answer: IncomingMessage, what: string, content: string): ApiServerError {
    if (answer.statusCode === 401) this.#credentials = undefined;
    return refusal(answer, what, content);
  }

  async #present(): Promise<Credentials> {
    const known = this.#credentials;
    if (known !== undefined && Date.now() - known.atMs < CREDENTIALS_TTL_MS) return known.value;
    const value = await this.#access.credentials();
    this.#credentials = { value, atMs: Date.now() };
    return value;
  }

  async #send(
    method: string,
    path: string,
    how: {
      readonly body?: object | undefined;
      readonly signal: AbortSignal;
      readonly agent: https.Agent;
      readonly silenceMs?: number;
    },
  ): Promise<IncomingMessage> {
    const { token, cert, key } = await this.#present();
    const body = how.body === undefined ? undefined : JSON.stringify(how.body);
    const headers = {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      accept: 'application/json',
      ...(body !== undefined && {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(body)),
      }),
    };
    const { signal, agent, silenceMs } = how;
    return new Promise((resolve, reject) => {
      const pair = { ...(cert && { cert }), ...(key && { key }) };
      const options = { ...pair, agent, method, headers, signal };
      let answered: IncomingMessage | undefined;
      const request = https.request(this.#access.server + path, options, (answer) => {
        answered = answer;
        resolve(answer);
      });
      request.on('error', reject);
      if (silenceMs !== undefined)
        request.setTimeout(silenceMs, () => {
          const error = new Error(`nothing was heard for ${silenceMs / 1000} s`);
          (answered ?? request).destroy(error);
        });
      request.end(body);
    });
  }
}

/** Whole lines: what a broken watch had begun is not one. */
async function* linesOf(stream: Readable): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of stream.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    yield* lines;
  }
}

function refusal(answer: IncomingMessage, what: string, content: string): ApiServerError {
  let { message } = { message: content };
  try {
    ({ message = content } = JSON.parse(content) as { message?: string });
  } catch {
    // A proxy's page; it is told as it is.
  }
  const status = answer.statusCode ?? 0;
  const retryAfterMs = Number(answer.headers['retry-after'] ?? 0) * 1000 || 0;
  return new ApiServerError(`${what}: ${status} ${message.slice(0, 500)}`, status, retryAfterMs);
}
