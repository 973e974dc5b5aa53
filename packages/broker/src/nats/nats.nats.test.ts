import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { startNats } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { encodeAccount, encodeOperator, encodeUser, fmtCreds } from '@nats-io/jwt';
import { nkeys } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AGENTS, describeBroker, orders, sync } from '../broker.conformance.ts';
import type { AnswerSync } from '../ports.ts';
import type { NatsSettings } from './connection.ts';
import { connectNats } from './connection.ts';
import { NatsExchange } from './nats-exchange.ts';
import { NatsService } from './nats-service.ts';
import type { Permissions } from './subjects.ts';
import {
  agentPermissions,
  answerSubject,
  controlPlanePermissions,
  syncSubject,
} from './subjects.ts';
import { TestBroker } from './test-broker.ts';

const [ANN, BOB] = AGENTS as [string, string];
const patiently = (): AbortSignal => AbortSignal.timeout(60_000);

/** A control plane that serves by the time this resolves. */
async function serveBy(settings: NatsSettings, answer: AnswerSync): Promise<NatsService> {
  const ready = Promise.withResolvers<void>();
  const log = {
    info: () => ready.resolve(),
    warn: (details: object) => ready.reject(new Error(JSON.stringify(details))),
  };
  const service = new NatsService(settings, answer, log);
  await ready.promise.catch(async (error: unknown) => {
    await service[Symbol.asyncDispose]();
    throw error;
  });
  return service;
}

const serve = (broker: TestBroker, answer: AnswerSync): Promise<NatsService> =>
  serveBy(broker.settings('control plane'), answer);

describe('as any broker', () => {
  describeBroker(async () => {
    const broker = await TestBroker.start(AGENTS);
    const agents: NatsExchange[] = [];
    const exchangeOf = (agentId: string, name = agentId) => {
      const agent = new NatsExchange(broker.settings(name), agentId);
      agents.push(agent);
      return agent.exchange;
    };
    return {
      serve: (answer) => serve(broker, answer),
      exchangeOf: (agentId) => exchangeOf(agentId),
      stranger: exchangeOf(ANN, 'stranger'),
      namesAgents: true,
      kill: async () => {
        await broker.nats.kill();
        return () => broker.nats.restart();
      },
      [Symbol.asyncDispose]: async () => {
        for (const agent of agents) await agent[Symbol.asyncDispose]();
        await broker[Symbol.asyncDispose]();
      },
    };
  });
});

describe('as NATS', () => {
  let broker: TestBroker;
  beforeAll(async () => {
    broker = await TestBroker.start([ANN, BOB], { maxPayloadBytes: 4096 });
  });
  afterAll(() => broker[Symbol.asyncDispose]());
  const agentOf = (agentId: string, name = agentId): NatsExchange =>
    new NatsExchange(broker.settings(name), agentId);

  test('messages beyond the payload of the server go in parts', async () => {
    await using _service = await serve(broker, async ({ heldAttemptIds = [] }) =>
      orders({ endAttemptIds: heldAttemptIds }),
    );
    await using agent = agentOf(ANN);
    const heldAttemptIds = Array.from({ length: 20_000 }, (_, at) => `job_42.${at}.1`);
    const { endAttemptIds } = await agent.exchange(sync(ANN, { heldAttemptIds }), patiently());
    expect(endAttemptIds).toEqual(heldAttemptIds);
  });

  test('an answer may take longer than a control plane may be silent', async () => {
    await using _service = await serve(broker, async () => {
      await new Promise((resolve) => setTimeout(resolve, 5000));
      return orders();
    });
    await using agent = agentOf(ANN);
    expect(await agent.exchange(sync(ANN), patiently())).toEqual(orders());
  });

  test('a control plane that stands still is given up, and heard when it goes on', async () => {
    await using _service = await serve(broker, async () => orders());
    await using agent = agentOf(ANN);
    await agent.exchange(sync(ANN), patiently());
    broker.nats.pause();
    await expect(agent.exchange(sync(ANN), patiently())).rejects.toThrow(/silent for 4000 ms/);
    broker.nats.resume();
    await until('an answer', () =>
      agent.exchange(sync(ANN), patiently()).then(
        () => true,
        () => false,
      ),
    );
  });

  test('an agent with the key of another is refused, and told what it may not', async () => {
    await using _service = await serve(broker, async () => orders());
    await using agent = agentOf(BOB, ANN);
    const refused =
      /NATS refuses what agent-1.example.org does: .*majorana\.(sync|answer)\.agent-1/;
    await expect(agent.exchange(sync(BOB), patiently())).rejects.toThrow(refused);
  });

  test('an agent cannot listen to what another is answered, nor to what another says', async () => {
    for (const subject of [answerSubject(BOB, '*'), 'majorana.answer.>', syncSubject(ANN), '>']) {
      await using connection = disposable(await connectNats(broker.settings(ANN), 'listener'));
      const refused = Promise.withResolvers<Error>();
      connection.subscribe(subject, { callback: (error) => refused.resolve(error as Error) });
      expect(String(await refused.promise)).toMatch(/Permissions Violation for Subscription/i);
    }
  });

  test('an agent cannot have its orders told to another', async () => {
    let count = 0;
    await using _service = await serve(broker, async () => {
      count += 1;
      return orders();
    });
    await using connection = disposable(await connectNats(broker.settings(ANN), 'attacker'));
    const said = JSON.stringify(sync(ANN));
    for (const reply of [answerSubject(BOB, 'X1'), syncSubject(BOB), answerSubject(ANN, 'a.b')])
      connection.publish(syncSubject(ANN), said, { reply });
    await using agent = agentOf(ANN);
    await agent.exchange(sync(ANN), patiently());
    expect(count).toBe(1);
  });

  test('a control plane that joins takes over from one that was killed', async () => {
    const first = await connectNats(broker.settings('control plane'), 'killed without an answer');
    let isHeld = false;
    first.subscribe('majorana.sync.*', { callback: () => void (isHeld = true) });
    await first.flush();
    await using agent = agentOf(ANN);
    const open = agent.exchange(sync(ANN), patiently());
    await until('the first to have heard it', () => isHeld);
    await first.close();
    await using _second = await serve(broker, async () => orders({ endAttemptIds: ['second'] }));
    await expect(open).rejects.toThrow(/silent for 4000 ms/);
    const { endAttemptIds } = await agent.exchange(sync(ANN), patiently());
    expect(endAttemptIds).toEqual(['second']);
  });

  test('of several servers the one that is there is used', async () => {
    await using _service = await serve(broker, async () => orders());
    const url = `tls://127.0.0.1:1,${broker.nats.url}`;
    await using agent = new NatsExchange({ ...broker.settings(ANN), url }, ANN);
    expect(await agent.exchange(sync(ANN), patiently())).toEqual(orders());
  });

  test('a server that is not the authority’s, or speaks no TLS, is not spoken to', async () => {
    const { caFile: _caFile, ...unknown } = broker.settings(ANN);
    await using agent = new NatsExchange(unknown, ANN);
    await expect(agent.exchange(sync(ANN), patiently())).rejects.toThrow(/certificate/);
    await using plain = await TestBroker.start([ANN], { tls: false });
    const url = plain.nats.url.replace('nats:', 'tls:');
    await using other = new NatsExchange({ ...broker.settings(ANN), url }, ANN);
    await expect(other.exchange(sync(ANN), patiently())).rejects.toThrow(/tls/i);
  });

  test('a credentials file that holds none is an error that names it', async () => {
    const credentialsFile = path.join(path.dirname(broker.settings(ANN).credentialsFile!), 'no.nk');
    await writeFile(credentialsFile, 'secret\n');
    await using agent = new NatsExchange({ ...broker.settings(ANN), credentialsFile }, ANN);
    await expect(agent.exchange(sync(ANN), patiently())).rejects.toThrow(/no\.nk holds neither/);
  });
});

test('an agent with an operator’s credentials file is let in, by the same permissions', async () => {
  const [operator, account, user, other] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createUser(),
    nkeys.createUser(),
  ];
  const limits = { subs: -1, conn: -1, data: -1, payload: -1 };
  const accountJwt = await encodeAccount('majorana', account, { limits }, { signer: operator });
  await using nats = await startNats({
    tls: true,
    operator: {
      jwt: await encodeOperator('example', operator),
      accounts: { [account.getPublicKey()]: accountJwt },
    },
  });
  const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-creds-'));
  const settings = async (
    name: string,
    pair: ReturnType<typeof nkeys.createUser>,
    { publish, subscribe }: Permissions,
  ) => {
    const allowed = { pub: { allow: [...publish] }, sub: { allow: [...subscribe] } };
    const jwt = await encodeUser(name, pair, account, allowed);
    const credentialsFile = path.join(folder, `${name}.creds`);
    await writeFile(credentialsFile, fmtCreds(jwt, pair), { mode: 0o600 });
    return { url: nats.url, caFile: nats.caPath, credentialsFile };
  };
  const serving = await settings('control plane', user, controlPlanePermissions);
  const answer = async (): ReturnType<AnswerSync> => orders();
  await using _service = await serveBy(serving, answer);
  await using ann = new NatsExchange(await settings(ANN, other, agentPermissions(ANN)), ANN);
  expect(await ann.exchange(sync(ANN), patiently())).toEqual(orders());
  await using bob = new NatsExchange(await settings(ANN, other, agentPermissions(ANN)), BOB);
  await expect(bob.exchange(sync(BOB), patiently())).rejects.toThrow(/NATS refuses/);
  await rm(folder, { recursive: true });
});

function disposable<T extends { close(): Promise<void> }>(connection: T): T & AsyncDisposable {
  return Object.assign(connection, { [Symbol.asyncDispose]: () => connection.close() });
}
