import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { FolderObjects } from '@majorana/objects';
import { AccessStore, DatabaseTooNewError, PostgresStore, Reads, Retention } from '@majorana/store';
import { pino } from 'pino';
import { AgentGateway } from './api/agent-gateway.ts';
import { hashToken } from './api/auth.ts';
import { newToken } from './api/routes/operations.ts';
import { buildServer } from './api/server.ts';
import type { EngineClock } from './engine/engine.ts';
import { Engine } from './engine/engine.ts';
import { EngineEvents } from './events.ts';
import { Metrics } from './metrics.ts';
import { RetentionLoop } from './retention-loop.ts';
import { makeWorkflows } from './workflow/index.ts';

/** Told to a supervisor, which must not start this program again: it would end the same way. */
const EXIT_DATABASE_TOO_NEW = 57;
const KEEP_DAYS_DEFAULT = 30;
const STOP_PATIENCE_MS = 5000;

const clock: EngineClock = {
  nowMs: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

interface Config {
  readonly data: string;
  readonly databaseUrl: string;
  readonly port: number;
  readonly keepDays: number;
}

function readConfig(): Config {
  const { values } = parseArgs({
    options: {
      data: { type: 'string' },
      port: { type: 'string', default: '0' },
      'keep-days': { type: 'string', default: String(KEEP_DAYS_DEFAULT) },
    },
  });
  const databaseUrl = process.env['MAJORANA_DATABASE_URL'];
  if (values.data === undefined || databaseUrl === undefined) {
    throw new Error('--data and MAJORANA_DATABASE_URL are needed');
  }
  const keepDays = Number(values['keep-days']);
  if (!(keepDays > 0)) throw new Error(`--keep-days ${values['keep-days']}: a number above 0`);
  return { data: values.data, databaseUrl, port: Number(values.port), keepDays };
}

/** The first token is an administrator's, in a file that only its owner reads. */
async function ensureToken(data: string, access: AccessStore): Promise<void> {
  const file = path.join(data, 'token');
  const token = await readFile(file, 'utf8').catch(async () => {
    const created = newToken();
    await mkdir(data, { recursive: true, mode: 0o700 });
    await writeFile(file, `${created}\n`, { mode: 0o600, flag: 'wx' });
    return created;
  });
  await access.add(hashToken(token.trim()), { user: 'first', role: 'admin', project: null });
}

async function run(config: Config): Promise<void> {
  const log = pino({ level: process.env['MAJORANA_LOG_LEVEL'] ?? 'info' });
  const store = new PostgresStore(config.databaseUrl);
  const metrics = new Metrics();
  const events = new EngineEvents(log, metrics);
  const engine = new Engine(store, clock, events);
  const gateway = new AgentGateway(engine, clock);
  events.wakeAgents = (agentIds) => gateway.wake(agentIds);
  metrics.observe(engine);
  const { pool } = store;
  const access = new AccessStore(pool);
  const objects = new FolderObjects(path.join(config.data, 'objects'));
  const reads = new Reads(pool);
  const workflows = makeWorkflows({ engine, events, reads, objects, pool, log });
  let isServing = false;
  const isReady = (): boolean => isServing && engine.isReady;
  const context = {
    isReady,
    engine,
    gateway,
    events,
    store,
    reads,
    access,
    objects,
    pool,
    workflows,
  };
  const app = await buildServer(context, metrics, log);
  // A standby listens too and answers 503 until it is the one engine.
  await app.listen({ host: '127.0.0.1', port: config.port });
  const retention = new RetentionLoop(new Retention(pool), objects, { ...config, log });
  let isStopping = false;
  process.once('SIGTERM', () => {
    isStopping = true;
    const isStandby = !engine.isReady;
    retention.stop();
    workflows.loop.stop();
    engine.stop();
    gateway.stop();
    // A standby waits for the lock without end, and has nothing to lose.
    const close = isStandby ? () => process.exit(0) : () => store[Symbol.asyncDispose]();
    void app.close().then(close);
    // Whatever still hangs has been answered, or is asked again.
    setTimeout(() => process.exit(0), STOP_PATIENCE_MS).unref();
  });
  log.info('waiting to become the one engine');
  await engine.start().catch((error: Error) => {
    if (!isStopping) throw error;
  });
  if (isStopping) return;
  await ensureToken(config.data, access);
  await workflows.loop.start();
  isServing = true;
  log.info({ port: config.port }, 'this is the one engine');
  retention.start();
}

try {
  await run(readConfig());
} catch (error) {
  process.stderr.write(`${String(error)}\n`);
  process.exit(error instanceof DatabaseTooNewError ? EXIT_DATABASE_TOO_NEW : 1);
}
