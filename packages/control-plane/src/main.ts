import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { FolderObjects } from '@majorana/objects';
import { DatabaseTooNewError, PostgresStore, Reads } from '@majorana/store';
import { pino } from 'pino';
import { buildServer, hashToken } from './api/server.ts';
import { Engine } from './engine/engine.ts';

/** Told to a supervisor, which must not start this program again: it would end the same way. */
const EXIT_DATABASE_TOO_NEW = 57;

async function ensureToken(data: string, reads: Reads): Promise<void> {
  const file = path.join(data, 'token');
  const token = await readFile(file, 'utf8').catch(async () => {
    const created = `mjr_${randomBytes(24).toString('base64url')}`;
    await mkdir(data, { recursive: true, mode: 0o700 });
    await writeFile(file, `${created}\n`, { mode: 0o600, flag: 'wx' });
    return created;
  });
  await reads.addToken(hashToken(token.trim()), 'first', 'admin');
}

async function run(): Promise<void> {
  const { values } = parseArgs({ options: { data: { type: 'string' }, port: { type: 'string' } } });
  const databaseUrl = process.env['MAJORANA_DATABASE_URL'];
  if (values.data === undefined || databaseUrl === undefined) {
    throw new Error('--data and MAJORANA_DATABASE_URL are needed');
  }
  const log = pino({ level: 'info' });
  const store = new PostgresStore(databaseUrl);
  const reads = new Reads(store.pool);
  const clock = {
    nowMs: () => Date.now(),
    after: (delayMs: number, callback: () => void) => {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
  };
  const engine = new Engine(store, clock);
  log.info('waiting to become the one engine');
  await engine.start();
  await ensureToken(values.data, reads);
  const objects = new FolderObjects(path.join(values.data, 'objects'));
  const app = await buildServer({ engine, reads, objects }, log);
  await app.listen({ host: '127.0.0.1', port: Number(values.port ?? 0) });
  process.once('SIGTERM', () => {
    engine.stop();
    void app.close().then(() => store[Symbol.asyncDispose]());
  });
}

try {
  await run();
} catch (error) {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = error instanceof DatabaseTooNewError ? EXIT_DATABASE_TOO_NEW : 1;
}
