import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { TestNats } from '@majorana/test-servers';
import { startNats } from '@majorana/test-servers';
import { afterAll, expect, test } from 'vitest';
import type { Cluster } from './fault-ground.ts';
import { FaultGround, onGoodGround } from './fault-ground.ts';
import { natsKey } from './nats-key.ts';
import { until } from './product.ts';

const CLUSTER = 'kwok';
const TASKS = 200;
const MINUTE = 60_000;

const folder = mkdtempSync(path.join(os.tmpdir(), 'majorana-nats-faults-'));
const keyFile = (name: string): string => path.join(folder, `${name}.nk`);
const users = [
  await natsKey(keyFile('control-plane'), '--control-plane'),
  await natsKey(keyFile('agent'), '--agent', CLUSTER),
];
let nats: TestNats | undefined;
let ground: FaultGround;
let cluster: Cluster;

onGoodGround(async () => {
  await nats?.[Symbol.asyncDispose]();
  nats = await startNats({ tls: true, accounts: { MAJORANA: { users } } });
  const broker = ['--nats-url', nats.url, '--nats-ca', nats.caPath!];
  ground = await FaultGround.start(
    { [CLUSTER]: [...broker, '--nats-credentials', keyFile('agent')] },
    {
      MAJORANA_NATS_URL: nats.url,
      MAJORANA_NATS_CREDENTIALS_FILE: keyFile('control-plane'),
      MAJORANA_NATS_CA_FILE: nats.caPath,
    },
  );
  [cluster] = ground.clusters as [Cluster];
  return ground;
});
afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

test('a cluster’s agent works over NATS, with TLS and a key of its own', async () => {
  await ground.verdict(await ground.workload(TASKS));
});

test('NATS is gone for a minute, and what runs goes on without it', async () => {
  const long = await ground.played({ runMs: MINUTE / 2, exitCode: 0 }, 8);
  await ground.running(long, 8);
  const jobs = [long, ...(await ground.workload(TASKS))];
  await ground.ended(jobs, 1 + ground.draw(40));
  cluster.agent.forgetLog();
  await nats!.kill();
  await setTimeout(MINUTE);
  expect(cluster.agent.log).toContain('no answer from the control plane');
  await nats!.restart();
  await ground.verdict(jobs);
  const attempts = 'select outcome from attempt where job_id = $1';
  expect(await ground.postgres.query(attempts, [long.jobId])).toEqual(
    Array(8).fill({ outcome: 'succeeded' }),
  );
});

test('NATS and the agent are killed at once, and both come back', async () => {
  const jobs = await ground.workload(TASKS);
  await ground.ended(jobs, 1 + ground.draw(40));
  await Promise.all([nats!.kill(), cluster.agent.kill()]);
  cluster.agent.launch();
  await until('it to look for the control plane', () => cluster.agent.log.includes('no answer'));
  await nats!.restart();
  await cluster.agent.says('the agent is ready');
  await ground.verdict(jobs);
});
