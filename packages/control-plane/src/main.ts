import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { NatsSettings } from '@majorana/broker/nats';
import { readServers } from '@majorana/broker/nats';
import { openObjects } from '@majorana/objects';
import type { AccessStore } from '@majorana/store';
import { DatabaseTooNewError } from '@majorana/store';
import { pino } from 'pino';
import { hashToken } from './api/auth.ts';
import { makeToken, newToken } from './api/tokens.ts';
import { ControlPlane } from './control-plane.ts';

/** Told to a supervisor, which must not start this program again: it would end the same way. */
const EXIT_DATABASE_TOO_NEW = 57;
const KEEP_DAYS_DEFAULT = 30;
const STOP_PATIENCE_MS = 5000;

interface Config {
  readonly data: string;
  readonly databaseUrl: string;
  /** Where objects are; a folder below the data when absent. */
  readonly objectsUrl: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly keepDays: number;
  /** The agent beside this server: its token is kept in the data folder, as "agent-token". */
  readonly localAgent: string | undefined;
  readonly nats: NatsSettings | undefined;
}

/** By the environment, as the database is: the two are the deployment's, not the command's. */
function readNats(): NatsSettings | undefined {
  const url = process.env['MAJORANA_NATS_URL'];
  if (url === undefined) return undefined;
  readServers(url);
  const credentialsFile = process.env['MAJORANA_NATS_CREDENTIALS_FILE'];
  return { url, credentialsFile, caFile: process.env['MAJORANA_NATS_CA_FILE'] };
}

function readConfig(): Config {
  const { values } = parseArgs({
    options: {
      data: { type: 'string' },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '0' },
      'local-agent': { type: 'string' },
      'keep-days': { type: 'string', default: String(KEEP_DAYS_DEFAULT) },
    },
  });
  const databaseUrl = process.env['MAJORANA_DATABASE_URL'];
  if (values.data === undefined || databaseUrl === undefined) {
    throw new Error('--data and MAJORANA_DATABASE_URL are needed');
  }
  const keepDays = Number(values['keep-days']);
  if (!(keepDays > 0)) throw new Error(`--keep-days ${values['keep-days']}: a number above 0`);
  const objectsUrl = process.env['MAJORANA_OBJECTS_URL'];
  const { data, host, port } = values;
  return {
    data,
    databaseUrl,
    objectsUrl,
    host,
    port: Number(port),
    keepDays,
    localAgent: values['local-agent'],
    nats: readNats(),
  };
}

/**
 * The first token is an administrator's, in a file that only its owner reads. One that was taken
 * back stays so, unless nobody could make another.
 */
async function ensureToken(data: string, access: AccessStore): Promise<void> {
  const file = path.join(data, 'token');
  const known = await readFile(file, 'utf8').catch(() => undefined);
  if (known !== undefined && (await access.hasAdmin())) return;
  const token = known?.trim() ?? newToken();
  if (known === undefined) {
    await mkdir(data, { recursive: true, mode: 0o700 });
    await writeFile(file, `${token}\n`, { mode: 0o600, flag: 'wx' });
  }
  await access.add(hashToken(token), { user: 'first', role: 'admin', project: null });
}

/** Made anew at each start, so that one from an old copy of the folder opens nothing. */
async function renewAgentToken(data: string, access: AccessStore, name: string): Promise<void> {
  const file = path.join(data, 'agent-token');
  const { token } = await makeToken(access, { user: name, role: 'agent', project: null });
  await writeFile(`${file}.new`, `${token}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  await access.removeAgent(name, true);
}

async function prepareTokens({ data, localAgent }: Config, access: AccessStore): Promise<void> {
  await ensureToken(data, access);
  if (localAgent !== undefined) await renewAgentToken(data, access, localAgent);
}

async function run(config: Config): Promise<void> {
  const log = pino({ level: process.env['MAJORANA_LOG_LEVEL'] ?? 'info' });
  const { data, objectsUrl } = config;
  const objects = await openObjects(objectsUrl, path.join(data, 'objects'));
  const uploads = path.join(data, 'uploads');
  const controlPlane = new ControlPlane({ ...config, objects, uploads, log });
  const app = await controlPlane.server();
  await app.listen({ host: config.host, port: config.port });
  process.once('SIGTERM', () => {
    // A standby has nothing to lose; whatever still hangs then has been answered, or is asked again.
    void controlPlane.stop().then(({ wasStandby }) => wasStandby && process.exit(0));
    setTimeout(() => process.exit(0), STOP_PATIENCE_MS).unref();
  });
  log.info('waiting to become the one engine');
  const isEngine = await controlPlane.start(() => prepareTokens(config, controlPlane.access));
  if (isEngine) log.info({ port: config.port }, 'this is the one engine');
}

try {
  await run(readConfig());
} catch (error) {
  process.stderr.write(`${String(error)}\n`);
  process.exit(error instanceof DatabaseTooNewError ? EXIT_DATABASE_TOO_NEW : 1);
}
