import type { AgentSync } from '@majorana/protocol';
import { jobSpecSchema } from '@majorana/protocol';
import { PostgresStore } from '@majorana/store';
import { TestPostgres } from '@majorana/testing';
import type { Figure } from './figure.ts';
import { Engine } from '../packages/control-plane/src/engine/engine.ts';

/** The engine over a real PostgreSQL, with an agent whose tasks end at once: no process, no network. */
const clock = {
  nowMs: () => Date.now(),
  after: (delayMs: number, callback: () => void) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

const capacity = (slots: number): AgentSync['capacity'] => ({
  cpuMillis: slots * 1000,
  memoryBytes: slots * 2 ** 31,
  scratchBytes: 0,
  shmBytes: 0,
  gpuCount: 0,
  countable: {},
});

const sync = (slots: number, edit: Partial<AgentSync>): AgentSync => ({
  agentId: 'bench',
  capacity: capacity(slots),
  heldAttemptIds: [],
  events: [],
  logChunks: [],
  waitMs: 0,
  ...edit,
});

const spec = (taskCount: number) => ({
  ...jobSpecSchema.parse({ argv: ['true'] }),
  array: { kind: 'range' as const, ranges: [{ from: 0, to: taskCount - 1, step: 1 }] },
});

async function runThrough(engine: Engine, slots: number): Promise<number> {
  let events: AgentSync['events'] = [];
  let count = 0;
  for (;;) {
    await engine.takeNews(sync(slots, { events }));
    const { leases } = await engine.ordersFor('bench');
    if (leases.length === 0) return count;
    count += leases.length;
    events = leases.map(({ attemptId }) => ({
      kind: 'ended',
      attemptId,
      atMs: Date.now(),
      outcome: { kind: 'succeeded', exitCode: 0, reason: 'exit code 0' },
      peakMemoryBytes: 0,
      cpuTimeMs: 0,
      artifacts: [],
    }));
  }
}

/** Rows of the same kinds and number, in the same batches, with no engine in front. */
async function bareWrites(store: PostgresStore, batches: number, batch: number): Promise<number> {
  const { pool } = store;
  await pool.query('create table bare_task (like task including all)');
  await pool.query('create table bare_transition (like transition including all)');
  const begun = performance.now();
  for (let round = 0; round < batches; round += 1) {
    for (const state of ['leased', 'succeeded']) {
      await pool.query('begin');
      await pool.query(
        `insert into bare_task (job_id, position, state, attempt_number, retry_count, memory_bytes,
       not_before_ms, since_ms, agent_id, reason, exit_code, is_cancelling)
         select 1, g, $1, 1, 0, 1, 0, 1, 'bench', 'a reason', 0, false
         from generate_series($2::int, $3::int) g
         on conflict (job_id, position) do update set state = excluded.state`,
        [state, round * batch, round * batch + batch - 1],
      );
      await pool.query(
        `insert into bare_transition (sequence, job_id, position, at_ms, from_state, to_state,
           attempt_number, reason)
         select g * 2 + $4, 1, g, 1, 'queued', $1, 1, 'a reason'
         from generate_series($2::int, $3::int) g`,
        [state, round * batch, round * batch + batch - 1, state === 'leased' ? 0 : 1],
      );
      await pool.query('commit');
    }
  }
  return (batches * batch) / ((performance.now() - begun) / 1000);
}

export async function engineFigures(): Promise<Figure[]> {
  await using postgres = await TestPostgres.start();
  await using store = new PostgresStore(postgres.url);
  const engine = new Engine(store, clock);
  await engine.start();
  const figures: Figure[] = [];
  for (const slots of [2, 250]) {
    const tasks = slots === 2 ? 2_000 : 50_000;
    await engine.submit(spec(tasks));
    const begun = performance.now();
    const done = await runThrough(engine, slots);
    const perSecond = done / ((performance.now() - begun) / 1000);
    figures.push({
      name: `engine, tasks that do nothing, ${slots} slots`,
      value: `${Math.round(perSecond)} tasks/s`,
      beside: slots === 2 ? 'one lease in flight for each slot' : '',
    });
  }
  const bare = await bareWrites(store, 100, 250);
  figures.push({
    name: 'the same rows written in batches of 250 without an engine',
    value: `${Math.round(bare)} tasks/s`,
    beside: 'task and transition rows only, made inside PostgreSQL: the limit',
  });
  figures.push(await memoryFigure(engine));
  engine.stop();
  return figures;
}

/** Held tasks are what memory grows with. */
async function memoryFigure(engine: Engine): Promise<Figure> {
  const slots = 100_000;
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  await engine.submit(spec(slots));
  let held = 0;
  while (held < slots) {
    await engine.takeNews(sync(slots, {}));
    held = engine.state.agents.get('bench')!.leased.size;
  }
  globalThis.gc?.();
  const perTask = (process.memoryUsage().heapUsed - before) / held;
  return {
    name: 'memory of the engine per held task',
    value: `${Math.round(perTask)} bytes`,
    beside: `${held} held at once`,
  };
}
