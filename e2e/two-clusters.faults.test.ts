import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { liftPodQuota, setPodQuota } from '@majorana/test-servers';
import { expect, test } from 'vitest';
import type { Cluster } from './fault-ground.ts';
import {
  FaultGround,
  NAMESPACE,
  NODE_CORES,
  NODE_COUNT,
  onGoodGround,
  podsOf,
} from './fault-ground.ts';
import { until } from './product.ts';

const CORES = NODE_COUNT * NODE_CORES;

let ground: FaultGround;
let cheap: Cluster;
onGoodGround(async () => {
  ground = await FaultGround.start({
    cheap: ['--core-price-per-hour', '0.01'],
    dear: ['--core-price-per-hour', '0.02'],
  });
  [cheap] = ground.clusters as [Cluster, Cluster];
  return ground;
});

async function countByAgent(jobId: number): Promise<Record<string, number>> {
  const rows = await ground.postgres.query<{ agent_id: string; count: number }>(
    `select agent_id, count(*)::integer as count from attempt
     where job_id = $1 and ended_at_ms is null group by agent_id`,
    [jobId],
  );
  return Object.fromEntries(rows.map(({ agent_id, count }) => [agent_id, count]));
}

test('the dear cluster takes what the cheap one has no room for', async () => {
  const play = { runMs: 20_000, exitCode: 0 };
  // More than may start at once.
  const filling = await ground.played(play, CORES);
  await ground.running(filling, CORES);
  expect(await countByAgent(filling.jobId)).toEqual({ cheap: CORES });
  const more = await ground.played(play, 12);
  await ground.running(more, 12);
  expect(await countByAgent(more.jobId)).toEqual({ dear: 12 });
  await ground.verdict([filling, more]);
});

test('a job of large inputs runs beside them, one without on the cheap cores, and why has the sums', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-inputs-'));
  const file = path.join(folder, 'inputs.bin');
  await writeFile(file, Buffer.alloc(20_000_000, 1));
  // As 20 GB at 0.09 would cost.
  await ground.product.ok('clusters', 'set', 'cheap', '--data-price-per-gb', '90');
  const play = { runMs: 20_000, exitCode: 0 };
  const heavy = await ground.played(play, 4, '--input', file);
  const light = await ground.played(play, 4);
  await ground.running(heavy, 4);
  await ground.running(light, 4);
  expect(await countByAgent(heavy.jobId)).toEqual({ dear: 4 });
  expect(await countByAgent(light.jobId)).toEqual({ cheap: 4 });
  expect(await ground.product.ok('why', `job_${heavy.jobId}.0`)).toContain(
    'expected cost: dear 0.04, cheap 1.82 (1.8 of it for 0.02 GB of data)',
  );
  expect(await ground.product.ok('clusters')).toContain('0.01 + 90/GB');
  await ground.product.ok('clusters', 'set', 'cheap', '--data-price-per-gb', '0');
  const later = await ground.played(play, 4, '--input', file);
  await ground.running(later, 4);
  expect(await countByAgent(later.jobId)).toEqual({ cheap: 4 });
  await ground.verdict([heavy, light, later]);
  await rm(folder, { recursive: true });
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

test('what a quota of the cheap cluster refuses runs on the dear one, and people are told', async () => {
  await setPodQuota(cheap.kubernetes, NAMESPACE, 0);
  const play = { runMs: 1000, exitCode: 0 };
  const anywhere = await ground.played(play, 60);
  const bound = await ground.played(play, 2, '--cluster', 'cheap');
  await ground.allEnded([anywhere]);
  const ran = `select distinct agent_id from attempt where job_id = $1 and outcome = 'succeeded'`;
  expect(await ground.postgres.query(ran, [anywhere.jobId])).toEqual([{ agent_id: 'dear' }]);
  await until('the task to say why', async () =>
    /pods are refused: .*exceeded quota/.test(
      await ground.product.ok('why', `job_${bound.jobId}.0`),
    ),
  );
  expect(await ground.product.ok('clusters', 'show', 'cheap')).toMatch(/403 .*exceeded quota/);
  await liftPodQuota(cheap.kubernetes, NAMESPACE);
  await ground.verdict([anywhere, bound]);
});
