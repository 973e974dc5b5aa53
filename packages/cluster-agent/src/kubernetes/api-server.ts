import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { ApiStats } from './api-stats.ts';
import type { Access, Secrets } from './kubeconfig.ts';
import { retryAfterOf } from './retry-after.ts';
import { isUntrusted } from './untrusted.ts';

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
/** Secrets are read again after this: a mounted token is renewed every hour or so. */
const SECRETS_TTL_MS = 60_000;

interface Known {
  readonly value: Secrets;
  readonly atMs: number;
}

/** The few requests an agent makes, over kept connections. It repeats nothing: who asks knows how. */
export class ApiServer implements Disposable {
  readonly stats = new ApiStats();
  readonly #access: Access;
  readonly #agent: https.Agent;
  readonly #watchAgent: https.Agent;
  #known: Known | undefined;
  /** They did not do the last time: those in their place may. */
  #doubt: 'none' | 'connection' | 'refused' = 'none';

  constructor(access: Access) {
    const { serverName, isUnverified, proxyUrl } = access;
    this.#access = access;
    const trust = {
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

  #refusal(answer: IncomingMessage, what: string, content: string): ApiServerError {
    if (answer.statusCode === 401) this.#doubt = 'refused';
    return refusal(answer, what, content);
  }

  async #secrets(): Promise<Secrets> {
    const [known, doubt] = [this.#known, this.#doubt];
    const isFresh = known !== undefined && Date.now() - known.atMs < SECRETS_TTL_MS;
    if (isFresh && doubt === 'none') return known.value;
    this.#doubt = 'none';
    try {
      const value = await this.#access.secrets(doubt === 'refused');
      this.#known = { value, atMs: Date.now() };
      return value;
    } catch (error) {
      // Files are not written at once; what is known may still do.
      if (known === undefined || doubt === 'refused') throw error;
      return known.value;
    }
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
    const { ca, token, cert, key } = await this.#secrets();
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
    const sent = new Promise<IncomingMessage>((resolve, reject) => {
      const trust = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
      const options = { ...trust, agent, method, headers, signal };
      let answered: IncomingMessage | undefined;
      const request = https.request(this.#access.server + path, options, (answer) => {
        answered = answer;
        resolve(answer);
      });
      request.on('error', (error) => reject(toldPlainly(error)));
      if (silenceMs !== undefined)
        request.setTimeout(silenceMs, () => {
          const error = new Error(`nothing was heard for ${silenceMs / 1000} s`);
          (answered ?? request).destroy(error);
        });
      request.end(body);
    });
    sent.catch(() => {
      if (this.#doubt === 'none') this.#doubt = 'connection';
    });
    return sent;
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

/** Node's own words advise to what is of no use here. */
function toldPlainly(error: NodeJS.ErrnoException): Error {
  if (!isUntrusted(error)) return error;
  const words = 'its certificate is not signed by the authority that this agent was given';
  return Object.assign(new Error(words, { cause: error }), { code: error.code });
}

/** The server itself says no more than 401. */
const WHY_UNKNOWN =
  'the token or the certificate of this agent is over, was taken back, or is of another cluster';

function refusal(answer: IncomingMessage, what: string, content: string): ApiServerError {
  let { message } = { message: content };
  try {
    ({ message = content } = JSON.parse(content) as { message?: string });
  } catch {
    // A proxy's page; it is told as it is.
  }
  const status = answer.statusCode ?? 0;
  if (status === 401) message += `: ${WHY_UNKNOWN}`;
  const retryAfterMs = retryAfterOf(answer.headers, Date.now());
  return new ApiServerError(`${what}: ${status} ${message.slice(0, 500)}`, status, retryAfterMs);
}
