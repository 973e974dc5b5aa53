import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readKubeconfig, writeKubeconfig } from './kubeconfig.ts';
import type { TestKubernetes } from './kubernetes.ts';
import { seededRandom } from './seeded-random.ts';

/** What may go wrong between a client and the API server; shares are of 1, of all requests. */
export interface Faults {
  /** Answered with 429 and a Retry-After, as priority and fairness does. */
  readonly tooManyRequestsShare?: number;
  readonly retryAfterSeconds?: number;
  /** Answered with 500 without reaching the server. */
  readonly serverErrorShare?: number;
  /** Done by the server, but the connection breaks before the answer: the client cannot know. */
  readonly lostAnswerShare?: number;
  /** Added to each request, evenly between the two. */
  readonly latencyMs?: readonly [number, number];
  /** Watches that break after a while, in the middle of a line as often as not. */
  readonly watchCutShare?: number;
  readonly watchCutAfterMs?: readonly [number, number];
  /** Watches from a resource version that are told it is too old. */
  readonly goneShare?: number;
}

/** A request on its way: it has arrived here, the server has done it, the client has its answer. */
export interface RequestStep {
  readonly method: string;
  readonly path: string;
  readonly bodyBytes: number;
  readonly at: 'arrived' | 'done' | 'answered';
}

type Fault = 'tooManyRequests' | 'serverError' | 'lostAnswer' | 'watchCut' | 'gone';

const statusObject = (code: number, reason: string, message: string): object => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Failure',
  code,
  reason,
  message,
});

const TOO_OLD = statusObject(410, 'Expired', 'too old resource version');

function answer(response: ServerResponse, code: number, body: object, retryAfter?: number): void {
  response.statusCode = code;
  response.setHeader('content-type', 'application/json');
  if (retryAfter !== undefined) response.setHeader('retry-after', String(retryAfter));
  // An event of a watch is a line.
  response.end(`${JSON.stringify(body)}\n`);
}

function pass(answered: IncomingMessage, response: ServerResponse): void {
  response.writeHead(answered.statusCode ?? 502, answered.headers);
  answered.on('error', () => response.destroy());
  answered.pipe(response);
  // A watch's first event may be hours away; its headers are not.
  response.flushHeaders();
}

/** HTTPS in, HTTPS out, with faults drawn from a seed in the order of the requests. */
export class FaultProxy implements AsyncDisposable {
  /** May be changed at any time; the next request sees it. */
  faults: Faults = {};
  /** Waited for at each step of each request: a test may kill a client between any two. */
  onStep: (step: RequestStep) => Promise<void> | void = () => undefined;
  /** Nobody gets through, as when the network is cut. */
  isCut = false;
  /** How often each was done, so that a test can see that there was something to survive. */
  readonly injected: Record<Fault, number> = {
    tooManyRequests: 0,
    serverError: 0,
    lostAnswer: 0,
    watchCut: 0,
    gone: 0,
  };
  readonly #target: URL;
  readonly #agent: https.Agent;
  readonly #server: https.Server;
  readonly #random: () => number;
  readonly #watches = new Set<ServerResponse>();

  private constructor(
    target: string,
    tls: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer },
    seed: number,
  ) {
    this.#target = new URL(target);
    this.#random = seededRandom(seed);
    this.#agent = new https.Agent({ keepAlive: true, ca: tls.ca });
    this.#server = https.createServer({ cert: tls.cert, key: tls.key }, (request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  static async start(kubernetes: TestKubernetes, seed: number): Promise<FaultProxy> {
    const own = await kubernetes.authority.issue({
      name: `proxy-${crypto.randomUUID()}`,
      subject: '/CN=fault-proxy',
      alternativeNames: ['IP:127.0.0.1'],
    });
    const [cert, key, ca] = await Promise.all([
      readFile(own.certificatePath),
      readFile(own.keyPath),
      readFile(kubernetes.authority.certificatePath),
    ]);
    const proxy = new FaultProxy(kubernetes.server, { cert, key, ca }, seed);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get server(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The same account, by way of this proxy. */
  async kubeconfigThrough(kubernetes: TestKubernetes, kubeconfig: string): Promise<string> {
    const { token } = await readKubeconfig(kubeconfig);
    const file = path.join(kubernetes.folder, `proxied-${path.basename(kubeconfig)}`);
    const caPath = kubernetes.authority.certificatePath;
    return writeKubeconfig(file, { server: this.server, caPath, user: { token } });
  }

  /** Until it is mended: what is open breaks, what comes is refused. */
  cut(): void {
    this.isCut = true;
    this.#server.closeAllConnections();
  }

  mend(): void {
    this.isCut = false;
  }

  /** Every watch that is open breaks now. */
  cutWatches(): void {
    for (const response of this.#watches) this.#cut(response);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    this.#agent.destroy();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { faults } = this;
    if (this.isCut) {
      response.destroy();
      return;
    }
    const url = new URL(request.url ?? '/', this.#target);
    const isWatch = ['1', 'true'].includes(url.searchParams.get('watch') ?? '');
    if (faults.latencyMs !== undefined) await delay(this.#between(faults.latencyMs));
    if (this.#happens('tooManyRequests', faults.tooManyRequestsShare)) {
      const body = statusObject(
        429,
        'TooManyRequests',
        'too many requests, please try again later',
      );
      return answer(response, 429, body, faults.retryAfterSeconds ?? 1);
    }
    if (this.#happens('serverError', faults.serverErrorShare)) {
      return answer(response, 500, statusObject(500, 'InternalError', 'etcdserver: no leader'));
    }
    if (isWatch) {
      const isResumed = (url.searchParams.get('resourceVersion') ?? '0') !== '0';
      if (isResumed && this.#happens('gone', faults.goneShare)) return this.#tellGone(response);
      this.#trackWatch(response, faults);
    }
    const isLost = !isWatch && this.#happens('lostAnswer', faults.lostAnswerShare);
    const bodyBytes = Number(request.headers['content-length'] ?? 0);
    const step = { method: request.method ?? 'GET', path: url.pathname, bodyBytes };
    await this.onStep({ ...step, at: 'arrived' });
    if (response.destroyed) return;
    response.on('finish', () => void this.onStep({ ...step, at: 'answered' }));
    this.#forward(request, response, {
      isLost,
      onDone: () => this.onStep({ ...step, at: 'done' }),
    });
  }

  /** The server says it in one of two ways: as the answer, or as the first event of a good one. */
  #tellGone(response: ServerResponse): void {
    if (this.#random() < 0.5) answer(response, 410, TOO_OLD);
    else answer(response, 200, { type: 'ERROR', object: TOO_OLD });
  }

  #trackWatch(response: ServerResponse, faults: Faults): void {
    this.#watches.add(response);
    const isCut = this.#random() < (faults.watchCutShare ?? 0);
    const afterMs = this.#between(faults.watchCutAfterMs ?? [0, 1000]);
    const timer = isCut ? setTimeout(() => this.#cut(response), afterMs) : undefined;
    response.on('close', () => {
      clearTimeout(timer);
      this.#watches.delete(response);
    });
  }

  #cut(response: ServerResponse): void {
    this.injected.watchCut += 1;
    response.destroy();
  }

  #forward(
    request: IncomingMessage,
    response: ServerResponse,
    { isLost, onDone }: { readonly isLost: boolean; readonly onDone: () => Promise<void> | void },
  ): void {
    const { method, headers } = request;
    const upstream = https.request(
      new URL(request.url ?? '/', this.#target),
      { method, headers: { ...headers, host: this.#target.host }, agent: this.#agent },
      (answered) => {
        const handOn = async (): Promise<void> => {
          await onDone();
          if (isLost || response.destroyed) {
            answered.resume();
            response.destroy();
          } else pass(answered, response);
        };
        handOn().catch(() => response.destroy());
      },
    );
    upstream.on('error', () => response.destroy());
    response.on('close', () => {
      if (!response.writableFinished && !isLost) upstream.destroy();
    });
    request.pipe(upstream);
  }

  #happens(fault: Fault, share = 0): boolean {
    const isSo = this.#random() < share;
    if (isSo) this.injected[fault] += 1;
    return isSo;
  }

  #between([least, most]: readonly [number, number]): number {
    return least + this.#random() * (most - least);
  }
}
