import { expect, test } from 'vitest';
import type { Cluster } from './fault-ground.ts';
import { FaultGround, onGoodGround, podsOf } from './fault-ground.ts';
import { until } from './product.ts';

/** As many pods as a dispatch window begins with: all it has start no sooner than in two minutes. */
const STARTING = 32;

let ground: FaultGround;
let cheap: Cluster;
onGoodGround(async () => {
  ground = await FaultGround.start({
    cheap: ['--core-price-per-hour', '0.01', '--annotation', 'majorana.test/start-ms=120000'],
    dear: ['--core-price-per-hour', '0.02'],
  });
  [cheap] = ground.clusters as [Cluster];
  return ground;
});

test('tasks wait half a minute for a cheaper cluster that has nodes and is starting others, and no longer', async () => {
  const play = { runMs: 1000, exitCode: 0 };
  const slow = await ground.played(play, STARTING, '--cluster', 'cheap');
  await until(
    'the window of the cheap cluster to be full',
    async () => (await podsOf(cheap.kubernetes)).length === STARTING,
  );
  const waiting = await ground.played(play, 4);
  await until('a task to say what it waits for', async () =>
    /cheap is cheaper and has nodes for \d+ more like it/.test(
      await ground.product.ok('why', `job_${waiting.jobId}.0`),
    ),
  );
  await ground.allEnded([waiting]);
  const leases = `select distinct agent_id, waited_for, leased_at_ms - queued_at_ms >= 30000 as is_patient
    from attempt where job_id = $1`;
  expect(await ground.postgres.query(leases, [waiting.jobId])).toEqual([
    {
      agent_id: 'dear',
      waited_for: 'a cheaper cluster, which was starting others first',
      is_patient: true,
    },
  ]);
  await ground.product.ok('cancel', `job_${slow.jobId}`);
  await ground.allEnded([slow]);
});
