import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

/** Numbers from 0 to 1 that a seed decides (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d_2b_79_f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface CutOptions {
  readonly target: string;
  readonly seed: number;
  /** Each connection is cut after so many bytes, both ways together, at most. */
  readonly bytesMax: number;
  /** So many connections are cut; later ones live. */
  readonly cuts: number;
}

interface Count {
  cuts: number;
  bytes: number;
}

/** Passes bytes on to a server and breaks connections in the middle, as bad networks do. */
export class CuttingProxy implements AsyncDisposable {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets: ReadonlySet<Socket>;
  readonly #count: Count;

  private constructor(server: Server, sockets: ReadonlySet<Socket>, count: Count) {
    this.#server = server;
    this.#sockets = sockets;
    this.#count = count;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** How many connections were cut. */
  get cuts(): number {
    return this.#count.cuts;
  }
  /** How much came to it from either side. */
  get bytes(): number {
    return this.#count.bytes;
  }

  static async start(options: CutOptions): Promise<CuttingProxy> {
    const { hostname, port } = new URL(options.target);
    const random = seededRandom(options.seed);
    const sockets = new Set<Socket>();
    const count = { cuts: 0, bytes: 0 };
    const server = createServer((near) => {
      const far = connect(Number(port), hostname);
      let left = Math.floor(random() * options.bytesMax);
      const pass = (to: Socket) => (chunk: Buffer) => {
        left -= chunk.length;
        count.bytes += chunk.length;
        if (left >= 0 || count.cuts >= options.cuts) {
          if (!to.write(chunk)) (to === far ? near : far).pause();
          return;
        }
        if (near.destroyed) return;
        count.cuts += 1;
        to.write(chunk.subarray(0, chunk.length + left), () => near.resetAndDestroy());
        far.destroy();
      };
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(from);
        from.on('data', pass(to));
        from.on('drain', () => to.resume());
        from.on('end', () => to.end());
        from.on('error', () => to.destroy());
        from.on('close', () => {
          sockets.delete(from);
          to.destroySoon();
        });
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new CuttingProxy(server, sockets, count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
