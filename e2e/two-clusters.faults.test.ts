import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Cluster } from './fault-ground.ts';
import { FaultGround, NODE_CORES, NODE_COUNT, podsOf } from './fault-ground.ts';
import { until } from './product.ts';

const CORES = NODE_COUNT * NODE_CORES;

let ground: FaultGround;
let cheap: Cluster;
beforeAll(async () => {
  ground = await FaultGround.start();
  cheap = await ground.addCluster('cheap', '--core-price-per-hour', '0.01');
  await ground.addCluster('dear', '--core-price-per-hour', '0.02');
});
afterAll(() => ground?.[Symbol.asyncDispose]());

async function countByAgent(jobId: number): Promise<Record<string, number>> {
  const rows = await ground.postgres.query<{ agent_id: string; count: number }>(
    `select agent_id, count(*)::integer as count from attempt
     where job_id = $1 and ended_at_ms is null group by agent_id`,
    [jobId],
  );
  return Object.fromEntries(rows.map(({ agent_id, count }) => [agent_id, count]));
}

test('the dear cluster takes what the cheap one has no room for', async () => {
  const play = { runMs: 8000, exitCode: 0 };
  const first = await ground.played(play, 20);
  await ground.running(first, 20);
  expect(await countByAgent(first.jobId)).toEqual({ cheap: 20 });
  const filling = await ground.played(play, CORES - 20, '--cluster', 'cheap');
  await ground.running(filling, CORES - 20);
  const more = await ground.played(play, 12);
  await ground.running(more, 12);
  expect(await countByAgent(more.jobId)).toEqual({ dear: 12 });
  await ground.verdict([first, filling, more]);
});

test('what ran on a cluster cut off for longer than its leases runs elsewhere, and once', async () => {
  const job = await ground.played({ runMs: 3_600_000, exitCode: 0 }, 20);
  await ground.running(job, 20);
  expect(await countByAgent(job.jobId)).toEqual({ cheap: 20 });
  await ground.product.ok('clusters', 'set', 'cheap', '--lease-ttl', '60s');
  cheap.agent.pause();
  await until(
    'the tasks to run on the other cluster',
    async () => (await countByAgent(job.jobId))['dear'] === 20,
    100_000,
  );
  expect(await podsOf(cheap.kubernetes)).toHaveLength(20);
  cheap.agent.resume();
  await until(
    'its old pods to be ended',
    async () => (await podsOf(cheap.kubernetes)).length === 0,
  );
  expect(await countByAgent(job.jobId)).toEqual({ dear: 20 });
  await ground.product.ok('cancel', `job_${job.jobId}`);
  await ground.allEnded([job]);
  await ground.verdict([]);
});
