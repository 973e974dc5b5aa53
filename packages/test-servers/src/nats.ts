import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { freePort } from '@majorana/embedded-postgres';
import { CertificateAuthority } from './certificates.ts';
import { Keeper } from './keeper.ts';
import { requireProgram } from './programs.ts';
import { ServerProcess } from './server-process.ts';

export interface NatsOptions {
  /** Clients must speak TLS; the authority's certificate is at caPath. */
  readonly tls?: boolean;
  /** Accounts by name, as the server's configuration writes them: users, exports, imports. */
  readonly accounts?: Record<string, object>;
  /** Instead of those accounts: an operator's JWT, and its accounts' by their public keys. */
  readonly operator?: { readonly jwt: string; readonly accounts: Record<string, string> };
  readonly jetStream?: boolean;
  /** Streams are kept here and outlive the server; otherwise they go with it. */
  readonly directory?: string;
  readonly maxPayloadBytes?: number;
}

/** A NATS server of one test. */
export class TestNats implements AsyncDisposable {
  readonly url: string;
  readonly caPath: string | undefined;
  readonly #process: ServerProcess;
  readonly #keeper: Keeper;

  constructor(url: string, caPath: string | undefined, process: ServerProcess, keeper: Keeper) {
    this.url = url;
    this.caPath = caPath;
    this.#process = process;
    this.#keeper = keeper;
  }

  /** As a crash would: what was not synced is the disk's business. */
  kill(): Promise<void> {
    return this.#process.kill();
  }

  restart(): Promise<void> {
    return this.#process.start();
  }

  pause(): void {
    this.#process.pause();
  }

  resume(): void {
    this.#process.resume();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#keeper.stop();
  }
}

async function startServer(keeper: Keeper, options: NatsOptions): Promise<TestNats> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-nats-'));
  keeper.keep({ folder });
  const [port, monitorPort] = [await freePort(), await freePort()];
  const authority = options.tls === true ? await CertificateAuthority.create(folder) : undefined;
  const serving = await authority?.issue({
    name: 'nats',
    subject: '/CN=nats',
    alternativeNames: ['IP:127.0.0.1', 'DNS:localhost'],
  });
  const storeFolder = options.directory ?? path.join(folder, 'jetstream');
  await mkdir(storeFolder, { recursive: true });
  // The server's own format is a superset of JSON.
  const configuration = {
    host: '127.0.0.1',
    port,
    http: `127.0.0.1:${monitorPort}`,
    max_payload: options.maxPayloadBytes,
    accounts: options.accounts,
    ...(options.operator && {
      operator: options.operator.jwt,
      resolver: 'MEMORY',
      resolver_preload: options.operator.accounts,
    }),
    jetstream: options.jetStream === true ? { store_dir: storeFolder } : undefined,
    tls: serving && { cert_file: serving.certificatePath, key_file: serving.keyPath },
  };
  const configurationPath = path.join(folder, 'nats.conf');
  await writeFile(configurationPath, JSON.stringify(configuration), { mode: 0o600 });
  const health = `http://127.0.0.1:${monitorPort}/healthz`;
  const server = await ServerProcess.start(
    {
      name: 'nats-server',
      program: requireProgram('nats'),
      args: [`--config=${configurationPath}`],
      folder,
      isReady: () =>
        fetch(health).then(
          (answer) => answer.ok,
          () => false,
        ),
    },
    keeper,
  );
  const scheme = authority === undefined ? 'nats' : 'tls';
  return new TestNats(`${scheme}://127.0.0.1:${port}`, authority?.certificatePath, server, keeper);
}

export async function startNats(options: NatsOptions = {}): Promise<TestNats> {
  const keeper = new Keeper();
  try {
    return await startServer(keeper, options);
  } catch (error) {
    await keeper.stop();
    throw error;
  }
}
