import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { apiFetch, httpExchange } from '@majorana/broker';
import { describeBroker } from '@majorana/broker/broker.conformance';
import { freePort } from '@majorana/embedded-postgres';
import { TestPostgres } from '@majorana/testing';
import { pino } from 'pino';
import { ControlPlane } from '../control-plane.ts';
import { Metrics } from '../metrics.ts';
import { hashToken } from './auth.ts';
import { buildServer } from './server.ts';

const TOKEN = 'mjr_agents';

/** The server as it is, with its tokens in PostgreSQL; only who answers is the suite's. */
describeBroker(async () => {
  const postgres = await TestPostgres.start();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-exchange-'));
  const log = pino({ level: 'silent' });
  const parts = new ControlPlane({ databaseUrl: postgres.url, data: folder, keepDays: 30, log });
  const access = { user: 'agents', role: 'operator', project: null } as const;
  await parts.start(async () => void (await parts.access.add(hashToken(TOKEN), access)));
  const port = await freePort();
  const exchangeWith = async (name: string, token: string) => {
    const file = path.join(folder, name);
    await writeFile(file, `${token}\n`, { mode: 0o600 });
    return httpExchange(apiFetch(`http://127.0.0.1:${port}`, file));
  };
  const exchange = await exchangeWith('token', TOKEN);
  return {
    serve: async (answer) => {
      const readLog = async (): Promise<undefined> => undefined;
      const gateway = { exchange: answer, readLog };
      const app = await buildServer({ ...parts.context, gateway }, new Metrics(), log);
      await app.listen({ host: '127.0.0.1', port });
      return { [Symbol.asyncDispose]: async () => app.close() };
    },
    exchangeOf: () => exchange,
    stranger: await exchangeWith('unknown', 'mjr_unknown'),
    namesAgents: false,
    [Symbol.asyncDispose]: async () => {
      await parts.stop();
      await postgres[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
});
