import { NO_RESOURCES } from '@majorana/core';
import type { AgentSync, AttemptEvent } from '@majorana/protocol';
import { jobSpecSchema, storedJobSpecSchema } from '@majorana/protocol';
import { expect, test } from 'vitest';
import { newCluster, setClusterState } from './clusters.ts';
import { dispatch } from './dispatch.ts';
import { explain } from './explain.ts';
import type { NewsTaken } from './reactor.ts';
import { endOrders, onAgentSync, onCancelJob, onSubmit, onTick, settle } from './reactor.ts';
import { silenceOf } from './silence.ts';
import { EngineState } from './state.ts';
import { EMPTY_HOT_SET } from './test-hot-set.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** An engine whose clock the test moves, and what one agent says to it. */
class Scene {
  state: EngineState;
  nowMs = 0;
  readonly agentId: string;
  readonly #isCluster: boolean;
  held: string[] = [];

  constructor(agentId: string, leaseTtlMs?: number) {
    this.agentId = agentId;
    this.#isCluster = leaseTtlMs !== undefined;
    this.state = new EngineState(EMPTY_HOT_SET, this.nowMs);
    if (leaseTtlMs !== undefined) this.state.putCluster({ ...newCluster(agentId, 0), leaseTtlMs });
  }

  submit(count: number): number {
    const spec = storedJobSpecSchema.parse({
      ...jobSpecSchema.parse({
        argv: ['true'],
        array: { kind: 'range', ranges: [{ from: 0, to: count - 1, step: 1 }] },
        ...(this.#isCluster && { container: { image: 'a:1' } }),
      }),
      after: [],
    });
    const jobId = this.state.jobs.size + 1;
    onSubmit(this.state, { jobId, spec, endedUpstream: [] }, this.nowMs);
    this.turn();
    return jobId;
  }

  turn(): void {
    settle(this.state, this.nowMs);
    dispatch(this.state, this.nowMs);
    this.state.takeChange();
    this.state.markWritten();
  }

  sync(edit: Partial<AgentSync> = {}): NewsTaken {
    const { waiting } = this.state;
    const shapes = waiting.shapes.map(({ key }) => ({ key, count: 100 }));
    const news = onAgentSync(
      this.state,
      {
        agentId: this.agentId,
        capacity: { ...NO_RESOURCES, cpuMillis: 64_000, memoryBytes: 2 ** 40 },
        heldAttemptIds: this.held,
        events: [],
        logChunks: [],
        waitMs: 0,
        ...(this.#isCluster && { offer: { waitingDigest: waiting.digest, shapes } }),
        ...edit,
      },
      this.nowMs,
    );
    this.turn();
    return news;
  }

  /** The agent confirms so many of what it was leased, and runs it. */
  run(count = Infinity): void {
    const leased = [...this.state.tasks.values()].filter(({ state }) => state === 'leased');
    const attemptIds = leased.slice(0, count).map((task) => this.state.attemptIdOf(task));
    this.held.push(...attemptIds);
    const atMs = this.nowMs;
    const events: AttemptEvent[] = attemptIds.map((attemptId) => ({
      kind: 'running',
      attemptId,
      atMs,
    }));
    this.sync({ events });
  }

  /** The agent is silent meanwhile. */
  pass(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs;) {
      this.nowMs += SECOND;
      onTick(this.state, this.nowMs);
      this.turn();
    }
  }

  /** The engine is started anew, and knows what is on record. */
  reload(): void {
    const { jobs, tasks, attempts, clusters, lastSequence } = this.state;
    const hot = {
      ...EMPTY_HOT_SET,
      jobs: [...jobs.values()],
      tasks: [...tasks.values()],
      attempts: [...attempts.values()],
      clusters: [...clusters.values()],
      lastSequence,
    };
    this.state = new EngineState(hot, this.nowMs);
  }

  count(state: string): number {
    return [...this.state.tasks.values()].filter((task) => task.state === state).length;
  }

  why(jobId: number, position: number): string {
    const { state, nowMs } = this;
    const task = state.tasks.get(`${jobId}.${position}`);
    return explain(state, state.jobs.get(jobId)!, { position, task }, nowMs).sentence;
  }
}

function running(agentId: string, leaseTtlMs: number | undefined, count: number): Scene {
  const scene = new Scene(agentId, leaseTtlMs);
  scene.sync();
  scene.submit(count);
  scene.sync();
  scene.run();
  expect(scene.count('running')).toBe(count);
  return scene;
}

test('a machine’s agent loses what it has after a minute of silence', () => {
  const scene = running('box', undefined, 3);
  scene.pass(MINUTE);
  expect(scene.count('running')).toBe(3);
  scene.pass(SECOND);
  expect(scene.count('running')).toBe(0);
  expect(scene.state.agents.size).toBe(0);
});

test('a cluster keeps what runs for its own lease time, and loses it then', () => {
  const scene = running('lab', 90 * MINUTE, 3);
  scene.pass(90 * MINUTE);
  expect(scene.count('running')).toBe(3);
  scene.pass(SECOND);
  expect(scene.count('running')).toBe(0);
  expect(scene.state.jobs.get(1)!.counts).toMatchObject({ queued: 3 });
  const [task] = scene.state.tasks.values();
  expect(task).toMatchObject({ retryCount: 0, reason: expect.stringContaining('silent for 2 h') });
});

test('after a cut of an hour a digest is enough for both sides to agree', () => {
  const scene = running('lab', 90 * MINUTE, 60);
  const { digest } = scene.state.agents.get('lab')!;
  scene.pass(60 * MINUTE);
  const said = { addedAttemptIds: [], digest };
  const { wantsHeldAttemptIds } = scene.sync({ heldAttemptIds: undefined, held: said } as object);
  expect(wantsHeldAttemptIds).toBe(false);
  expect(scene.state.agents.get('lab')!.unconfirmed.size).toBe(0);
  expect(endOrders(scene.state, 'lab', scene.nowMs)).toEqual([]);
  expect(scene.count('running')).toBe(60);
});

test('one that returns after its leases are over is told to end what it still has', () => {
  const scene = running('lab', MINUTE, 3);
  const old = [...scene.held];
  scene.pass(2 * MINUTE);
  const said = { addedAttemptIds: [], digest: 'what it held' };
  expect(scene.sync({ heldAttemptIds: undefined, held: said } as object)).toMatchObject({
    wantsHeldAttemptIds: true,
  });
  scene.sync();
  expect(endOrders(scene.state, 'lab', scene.nowMs).toSorted()).toEqual(old.toSorted());
});

test('a silent cluster is given nothing after 20 s, whatever it had offered', () => {
  const scene = running('lab', 90 * MINUTE, 1);
  scene.submit(1);
  // It has offered room, and falls silent before anything else comes.
  scene.sync();
  scene.pass(20 * SECOND);
  expect(scene.count('leased')).toBe(1);
  scene.pass(SECOND);
  const jobId = scene.submit(5);
  scene.pass(MINUTE);
  expect(scene.state.jobs.get(jobId)!.counts).toMatchObject({ queued: 5 });
  expect(scene.why(jobId, 0)).toContain('lab has been silent for 81 s');
});

test('a lease that the silent cluster has not confirmed goes back after a minute', () => {
  const scene = running('lab', 90 * MINUTE, 2);
  const jobId = scene.submit(3);
  scene.sync();
  expect(scene.count('leased')).toBe(3);
  scene.pass(61 * SECOND);
  expect(scene.count('leased')).toBe(0);
  expect(scene.state.jobs.get(jobId)!.counts).toMatchObject({ queued: 3 });
  expect(scene.count('running')).toBe(2);
});

test('nobody waits for what a user has cancelled on a silent cluster', () => {
  const scene = running('lab', 90 * MINUTE, 2);
  onCancelJob(scene.state, 1, scene.nowMs);
  scene.pass(61 * SECOND);
  expect(scene.state.jobs.has(1), 'the job is open').toBe(false);
});

test('a drain says that a silent cluster is given up: its tasks run elsewhere', () => {
  const scene = running('lab', 90 * MINUTE, 2);
  scene.pass(10 * MINUTE);
  const cluster = scene.state.clusters.get('lab')!;
  const { nowMs } = scene;
  setClusterState(scene.state, cluster, 'draining', { nowMs, graceMs: 5 * MINUTE });
  scene.pass(4 * MINUTE);
  expect(scene.count('running')).toBe(2);
  scene.pass(MINUTE);
  expect(scene.count('running')).toBe(0);
});

test('another lease time counts at once, also for a cluster that is silent', () => {
  const scene = running('lab', 90 * MINUTE, 2);
  scene.pass(10 * MINUTE);
  const cluster = scene.state.clusters.get('lab')!;
  scene.state.putCluster({ ...cluster, leaseTtlMs: 10 * MINUTE });
  scene.pass(SECOND);
  expect(scene.count('running')).toBe(0);
});

test('an engine that starts anew counts the silence from its start', () => {
  const scene = running('lab', 90 * MINUTE, 2);
  scene.pass(80 * MINUTE);
  scene.reload();
  expect(scene.count('running')).toBe(2);
  scene.pass(30 * SECOND);
  const kept =
    'silent since this control plane started, 30 s ago; its leases are kept for 90 min more';
  expect(silenceOf(scene.state, 'lab', scene.nowMs)?.sentence).toBe(kept);
  scene.pass(89 * MINUTE);
  expect(scene.count('running')).toBe(2);
  scene.pass(MINUTE);
  expect(scene.count('running')).toBe(0);
});

test('why a task is where it is says for how long it is kept', () => {
  const scene = running('lab', 90 * MINUTE, 1);
  scene.pass(20 * SECOND);
  expect(scene.why(1, 0)).toBe('it is running on lab');
  scene.pass(12 * MINUTE - 20 * SECOND);
  const kept = 'which has been silent for 12 min; its lease is kept for 78 min more';
  expect(scene.why(1, 0)).toBe(`it is running on lab, ${kept}`);
});
