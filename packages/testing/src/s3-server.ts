import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtemp, mkdir, readFile, rm } from 'node:fs/promises';
import { existsSync, openSync, closeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '@majorana/embedded-postgres';
import { until } from './until.ts';

export const S3_SERVERS = ['versitygw', 'moto'] as const;
export type S3ServerName = (typeof S3_SERVERS)[number];

export interface S3ServerOptions {
  /** Whose subdomains are buckets, beside the style of paths; versitygw only. */
  readonly domain?: string;
}

const GO_MOD = new URL('../../../tools/s3/go.mod', import.meta.url);
const PREPARE = fileURLToPath(new URL('../../../tools/s3/prepare.sh', import.meta.url));

async function commandOf(
  name: S3ServerName,
  at: { readonly port: number; readonly folder: string },
  { domain }: S3ServerOptions,
): Promise<string[]> {
  const caches = process.env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache');
  const cache = path.join(caches, 'majorana');
  if (name === 'moto') {
    const [, version] = /moto-([\d.]+)/.exec(await readFile(PREPARE, 'utf8'))!;
    const program = path.join(cache, `moto-${version}`, 'bin', 'moto_server');
    return [program, '-H', '127.0.0.1', '-p', String(at.port)];
  }
  const [, version] = /versitygw v([\d.]+)/.exec(await readFile(GO_MOD, 'utf8'))!;
  const program = path.join(cache, `versitygw-${version}`, 'versitygw');
  const virtual = domain === undefined ? [] : ['--virtual-domain', domain];
  const listen = ['--port', `127.0.0.1:${at.port}`, '--quiet', '--keep-alive'];
  return [program, ...listen, ...virtual, 'posix', at.folder];
}

/** A real S3 server with one empty bucket, for one test file. */
export class S3Server implements AsyncDisposable {
  readonly name: S3ServerName;
  readonly endpoint: string;
  readonly bucket = 'bucket';
  readonly accessKeyId = 'test-access';
  readonly secretAccessKey = 'test-secret';
  readonly #folder: string;
  readonly #process: ChildProcess;

  private constructor(name: S3ServerName, endpoint: string, folder: string, child: ChildProcess) {
    this.name = name;
    this.endpoint = endpoint;
    this.#folder = folder;
    this.#process = child;
  }

  static async start(name: S3ServerName, options: S3ServerOptions = {}): Promise<S3Server> {
    const root = await mkdtemp(path.join(os.tmpdir(), `majorana-${name}-`));
    const folder = path.join(root, 'buckets');
    await mkdir(path.join(folder, 'bucket'), { recursive: true });
    const port = await freePort();
    const [program, ...args] = await commandOf(name, { port, folder }, options);
    if (!existsSync(program!)) throw new Error(`${program} is missing: npm run test:s3 brings it`);
    const log = openSync(path.join(root, 'log'), 'w', 0o600);
    const env = {
      PATH: process.env['PATH'],
      ROOT_ACCESS_KEY: 'test-access',
      ROOT_SECRET_KEY: 'test-secret',
    };
    const child = spawn(program!, args, { stdio: ['ignore', log, log], env });
    closeSync(log);
    const server = new S3Server(name, `http://127.0.0.1:${port}`, root, child);
    // A folder is a bucket to versitygw; moto wants to be told, and asks nobody who it is.
    await until(`${name} to have a bucket`, () =>
      fetch(`${server.endpoint}/bucket`, { method: name === 'moto' ? 'PUT' : 'GET' }).then(
        () => true,
        () => false,
      ),
    );
    return server;
  }

  /** The credentials as the AWS client finds them. */
  get environment(): Record<string, string> {
    return { AWS_ACCESS_KEY_ID: this.accessKeyId, AWS_SECRET_ACCESS_KEY: this.secretAccessKey };
  }

  url(prefix: string): string {
    const endpoint = encodeURIComponent(this.endpoint);
    return `s3://${this.bucket}/${prefix}?endpoint=${endpoint}&region=us-east-1&style=path`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#process.once('exit', resolve));
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill('SIGTERM');
      await closed;
    }
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
