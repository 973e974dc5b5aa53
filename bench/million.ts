import { PostgresStore, Reads } from '@majorana/store';
import { TestPostgres } from '@majorana/testing';
import { jobSpecSchema } from '@majorana/protocol';
import { Engine } from '../packages/control-plane/src/engine/engine.ts';
import type { Figure } from './figure.ts';
import { median, seconds, timed } from './figure.ts';

const MILLION = 1_000_000;
const clock = {
  nowMs: () => Date.now(),
  after: (delayMs: number, callback: () => void) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/** A job whose million tasks have all ended, one in ten badly in 20 ways; made inside PostgreSQL. */
async function layOut(store: PostgresStore, engine: Engine): Promise<number> {
  const { jobId } = await engine.submit({
    ...jobSpecSchema.parse({ argv: ['true'] }),
    array: { kind: 'range', ranges: [{ from: 0, to: MILLION - 1, step: 1 }] },
  });
  engine.stop();
  await store.pool.query(
    `insert into task (job_id, position, state, attempt_number, retry_count, memory_bytes,
       not_before_ms, since_ms, agent_id, reason, exit_code, is_cancelling)
     select $1, g, case when g % 10 = 3 then 'failed' else 'succeeded' end, 1, 0,
       2147483648, 0, 1, 'bench', case when g % 10 = 3 then 'exit code ' || g % 20 + 1
       else 'exit code 0' end, case when g % 10 = 3 then g % 20 + 1 else 0 end, false
     from generate_series(0, $2::int - 1) g`,
    [jobId, MILLION],
  );
  await store.pool.query(
    `update job set row_count = $2, next_position = $2, ended_at_ms = 5,
       counts = counts || jsonb_build_object('queued', 0, 'succeeded', $2::int * 9 / 10,
         'failed', $2::int / 10) where job_id = $1`,
    [jobId, MILLION],
  );
  await store.pool.query('analyze');
  return jobId;
}

export async function millionFigures(): Promise<Figure[]> {
  await using postgres = await TestPostgres.start();
  await using store = new PostgresStore(postgres.url);
  const first = new Engine(store, clock);
  await first.start();
  const jobId = await layOut(store, first);
  const reads = new Reads(store.pool);
  const job = (await reads.job(jobId))!;
  const engine = new Engine(store, clock);
  const load = await timed(() => engine.start());
  const figures: Figure[] = [
    { name: 'engine start with the job in the database', value: seconds(load.ms), beside: '' },
  ];
  const measured: [string, () => Promise<unknown>][] = [
    ['counts by state', () => reads.job(jobId)],
    ['state map (200,000 runs)', () => reads.stateMap(job)],
    ['failures grouped by error', () => reads.failures(jobId)],
    ['100 tasks from the middle', () => reads.tasks(job, MILLION / 2, 100)],
    ['100 failed tasks from the middle', () => reads.tasks(job, MILLION / 2, 100, 'failed')],
  ];
  for (const [name, act] of measured) {
    figures.push({
      name: `of 1,000,000 ended tasks: ${name}`,
      value: seconds(await median(3, act)),
      beside: '',
    });
  }
  const code = await timed(() => engine.retry(jobId, { states: ['failed'], exitCode: 4 }));
  figures.push({
    name: `retry of the ${code.value} tasks with one exit code`,
    value: seconds(code.ms),
    beside: 'rows, transitions and counts written',
  });
  const all = await timed(() => engine.retry(jobId, { states: ['failed', 'succeeded'] }));
  figures.push({
    name: `retry of the other ${all.value} tasks`,
    value: seconds(all.ms),
    beside: 'in parts of 50,000, turns in between',
  });
  const cancel = await timed(() => engine.cancelJob(jobId));
  figures.push({ name: 'cancel of all of them', value: seconds(cancel.ms), beside: '' });
  engine.stop();
  return figures;
}
