import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { apiFetch, httpExchange, tokenIn } from '@majorana/broker';
import type { Exchange } from '@majorana/broker';
import { AGENTS, describeBroker } from '@majorana/broker/broker.conformance';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { hashToken } from './auth.ts';
import { Metrics } from '../metrics.ts';
import { buildServer } from './server.ts';
import { TestServer } from './test-server.ts';

/** The server as it is, with its tokens in PostgreSQL; only who answers agents is the suite's. */
describeBroker(async () => {
  const server = await TestServer.start();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-exchange-'));
  let port = 0;
  const exchangeWith = async (token: string) => {
    const file = path.join(folder, token);
    await writeFile(file, `${token}\n`, { mode: 0o600 });
    return httpExchange((...asked) =>
      apiFetch(`http://127.0.0.1:${port}`, tokenIn(file))(...asked),
    );
  };
  const exchanges = new Map<string, Exchange>();
  for (const agentId of AGENTS) {
    const token = `mjr_${agentId}`;
    const access = { user: agentId, role: 'agent', project: null } as const;
    await server.parts.access.add(hashToken(token), access);
    exchanges.set(agentId, await exchangeWith(token));
  }
  return {
    serve: async (answer) => {
      const gateway = {
        exchange: answer,
        readLog: async () => undefined,
        describeStart: async () => undefined,
      };
      const log = pino({ level: 'silent' });
      const app = await buildServer({ ...server.parts.context, gateway }, new Metrics(), log);
      await app.listen({ host: '127.0.0.1', port });
      ({ port } = app.server.address() as AddressInfo);
      return { [Symbol.asyncDispose]: async () => app.close() };
    },
    exchangeOf: (agentId) => exchanges.get(agentId)!,
    stranger: await exchangeWith('mjr_unknown'),
    namesAgents: true,
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
});
