import type { IncomingMessage, ServerResponse } from 'node:http';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What happens to one request: nothing, an answer of this status, the connection's end in the middle
 * of the question or of the answer, or an answer that was made and never arrives.
 */
export type Fault = 'none' | number | 'cut_question' | 'cut_answer' | 'lose_answer';

/** Stands between runner and control plane, and spoils what the test says. */
export class FaultyProxy implements AsyncDisposable {
  /** In the order they came, such as `POST uploads`. */
  readonly requests: string[] = [];
  /** The ranges that were asked for. */
  readonly ranges: string[] = [];
  fault: (request: string, index: number) => Fault | Promise<Fault> = () => 'none';
  readonly #target: () => string;
  readonly #server: http.Server;

  private constructor(target: () => string) {
    this.#target = target;
    this.#server = http.createServer((request, response) => void this.#serve(request, response));
  }

  static async start(target: () => string): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, name = ''] = /attempts\/[^/]+\/(\w+)/.exec(request.url!) ?? [];
    const what = `${request.method} ${name}`;
    const index = this.requests.push(what) - 1;
    if (request.headers.range !== undefined) this.ranges.push(request.headers.range);
    request.on('error', () => undefined);
    const fault = await this.fault(what, index);
    if (typeof fault === 'number') {
      request.resume();
      response.writeHead(fault).end();
      return;
    }
    this.#forward(request, response, fault);
  }

  #forward(request: IncomingMessage, response: ServerResponse, fault: Fault): void {
    const { method, headers, url } = request;
    const forward = http.request(`${this.#target()}${url}`, { method, headers, agent: false });
    const cut = (): void => {
      request.socket.destroy();
      forward.destroy();
    };
    forward.on('error', () => request.socket.destroy());
    response.on('close', () => forward.destroy());
    if (fault === 'cut_question') {
      request.once('data', (chunk: Buffer) => forward.write(chunk.subarray(0, 1), cut));
      request.once('end', cut);
      return;
    }
    request.pipe(forward);
    forward.on('response', (answer) => {
      if (fault === 'lose_answer') return cut();
      response.writeHead(answer.statusCode!, answer.headers);
      if (fault === 'none') return void answer.pipe(response);
      answer.once('data', (chunk: Buffer) =>
        response.write(chunk.subarray(0, chunk.length / 2), cut),
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
