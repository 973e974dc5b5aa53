import { createHash } from 'node:crypto';
import type { Template, WorkflowDefinition } from '@majorana/core';
import { ZERO_COUNTS } from '@majorana/core';
import { storedJobSpecSchema } from '@majorana/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Change, EngineStore, TaskRecord } from '../engine-store.ts';
import type { NewElement } from '../elements.ts';
import type { DrivingResults, RunWrite } from '../step-results.ts';
import type { NewRun, OpenRuns, RunChange, WorkflowRuns } from '../workflow-runs.ts';
import { RoundChangedError } from '../workflow-runs.ts';

export interface WorkflowStoreUnderTest extends AsyncDisposable {
  readonly runs: OpenRuns & Pick<WorkflowRuns, 'resume' | 'rounds'>;
  readonly results: DrivingResults;
  readonly engine: EngineStore;
  create(run: NewRun): Promise<number>;
}

const NOW_MS = 1_700_000_000_000;
const definition: WorkflowDefinition = { name: 'w', inputs: {}, steps: {}, outputs: {} };
const template: Template = {
  argv: ['x', '{line}'],
  env: {},
  outputs: ['out'],
  tools: {},
  inputs: [],
  elementInputs: [],
  onlyFor: null,
};
const newRun: NewRun = {
  project: 'default',
  user: 'somebody',
  definition,
  inputs: { values: {}, files: {} },
  idempotencyKey: undefined,
};
const task = (position: number, state: TaskRecord['state']): TaskRecord => ({
  jobId: 1,
  position,
  state,
  attemptNumber: 1,
  retryCount: 0,
  memoryBytes: 1,
  notBeforeMs: 0,
  sinceMs: NOW_MS,
  agentId: 'a',
  reason: `it has ${state}`,
  exitCode: state === 'succeeded' ? 0 : 1,
  isCancelling: false,
});

/** Job 1 with three tasks, of which the second failed; the others have stored a file. */
const ended: Change = {
  jobs: [
    {
      jobId: 1,
      spec: storedJobSpecSchema.parse({
        argv: ['true'],
        array: { kind: 'range', ranges: [{ from: 0, to: 2, step: 1 }] },
      }),
      taskCount: 3,
      rowCount: 3,
      nextPosition: 3,
      untouchedState: 'queued',
      counts: { ...ZERO_COUNTS, succeeded: 2, failed: 1 },
      submittedAtMs: NOW_MS,
      untouchedSinceMs: NOW_MS,
      outputBytes: 0,
      endedAtMs: NOW_MS,
    },
  ],
  tasks: [task(0, 'succeeded'), task(1, 'failed'), task(2, 'succeeded')],
  attempts: [],
  transitions: [],
  artifacts: [0, 2].map((position) => ({
    jobId: 1,
    position,
    attemptNumber: 1,
    role: 'output' as const,
    path: 'out',
    object: String(position).repeat(64),
    sizeBytes: 7,
  })),
  queues: [],
  clusters: [],
};

const keyOf = (line: string): string => createHash('sha256').update(line).digest('hex');
const element = (line: string, jobPosition: number | null): NewElement => ({
  key: keyOf(line),
  fields: { line },
  jobPosition,
});

/** What a store of runs must do for those who drive them, whatever is behind it. */
export function describeWorkflowStore(
  name: string,
  open: () => Promise<WorkflowStoreUnderTest>,
): void {
  describe(name, () => {
    let store: WorkflowStoreUnderTest;
    let runId: number;
    beforeEach(async () => {
      store = await open();
      await store.engine.load(10);
      runId = await store.create(newRun);
    });
    afterEach(() => store[Symbol.asyncDispose]());

    const write = (version: number, edit: Partial<RunChange>): Promise<void> =>
      store.runs.write(
        { runId, round: 1, version },
        { status: 'running', steps: new Map(), writes: [], ...edit },
        NOW_MS,
      );
    const state = { status: 'preparing', startedAtMs: 1, sinceMs: 2 } as const;
    const instance = (elements: readonly NewElement[], path = 'work'): RunWrite => ({
      kind: 'instance',
      instance: {
        runId,
        round: 1,
        path,
        stepName: path,
        template,
        isFanOut: true,
        reusedCount: 0,
      },
      elements,
    });
    const made = async () => (await store.results.instance(runId, 1, 'work'))!;

    test('what a write changes is changed, and the rest stays', async () => {
      await write(0, { steps: new Map([['a', state]]) });
      await write(1, { steps: new Map([['b', state]]) });
      const round = (await store.runs.latestRound(runId))!;
      expect(round.version).toBe(2);
      expect(round.state).toEqual({ status: 'running', steps: { a: state, b: state } });
      expect(await store.runs.openRunIds()).toEqual([runId]);
      await write(2, { status: 'failed' });
      expect(await store.runs.find(runId)).toMatchObject({ status: 'failed', endedAtMs: NOW_MS });
      expect(await store.runs.openRunIds()).toEqual([]);
    });

    test('an ended run is resumed once, with a new round; what is late for the old one is refused', async () => {
      await write(0, { steps: new Map([['a', state]]) });
      const change = { definition: { ...definition, name: 'mended' }, inputs: newRun.inputs };
      expect(await store.runs.resume(runId, change, NOW_MS)).toBe(false);
      await write(1, { status: 'cancelled' });
      expect(await store.runs.resume(runId, change, NOW_MS + 1)).toBe(true);
      expect(await store.runs.resume(runId, change, NOW_MS + 1)).toBe(false);
      expect(await store.runs.find(runId)).toMatchObject({
        name: 'mended',
        status: 'running',
        round: 2,
        endedAtMs: null,
      });
      const [first, second] = await store.runs.rounds(runId);
      expect(first).toMatchObject({
        round: 1,
        endedAtMs: NOW_MS,
        state: { status: 'cancelled', steps: { a: state } },
      });
      expect(second).toEqual(await store.runs.latestRound(runId));
      expect(second).toMatchObject({
        round: 2,
        version: 0,
        definition: { name: 'mended' },
        state: { status: 'running', steps: {} },
        startedAtMs: NOW_MS + 1,
        endedAtMs: null,
      });
      await expect(write(0, { status: 'failed' })).rejects.toThrow(RoundChangedError);
      await store.runs.write(
        { runId, round: 2, version: 0 },
        { status: 'running', steps: new Map([['b', state]]), writes: [] },
        NOW_MS,
      );
      expect((await store.runs.latestRound(runId))!.state.steps).toEqual({ b: state });
    });

    test('a round that somebody else has written is not written, nor anything with it', async () => {
      await write(0, { steps: new Map([['a', state]]) });
      const late = write(0, {
        steps: new Map([['b', state]]),
        writes: [instance([element('x', 0)])],
      });
      await expect(late).rejects.toThrow(RoundChangedError);
      expect((await store.runs.latestRound(runId))!.state.steps).toEqual({ a: state });
      expect(await store.results.instance(runId, 1, 'work')).toBeUndefined();
    });

    test('an instance is made once: a second one refuses all that comes with it', async () => {
      await write(0, { writes: [instance([element('x', 0)])] });
      const second = write(1, {
        steps: new Map([['b', state]]),
        writes: [instance([element('y', 0)])],
      });
      await expect(second).rejects.toThrow();
      expect((await store.runs.latestRound(runId))!.version).toBe(1);
      expect(await made()).toMatchObject({ path: 'work', elementCount: 1, jobId: null, template });
    });

    test('elements without a result are the records of a job, equal ones once', async () => {
      const elements = [element('x', 0), element('there', null), element('y', 1), element('x', 0)];
      await write(0, { writes: [instance(elements)] });
      const { parameterSetId, ...set } = await store.results.parametersOf(
        (await made()).instanceId,
      );
      expect(set).toEqual({ recordCount: 2, fieldNames: ['line'] });
      expect(await store.engine.loadFields(parameterSetId, 1)).toEqual({ line: 'y' });
    });

    test('what an ended job has stored are results, and what failed is named', async () => {
      const elements = [element('x', 0), element('y', 1), element('z', 2), element('x', 0)];
      await write(0, { writes: [instance(elements)] });
      const { instanceId } = await made();
      await write(1, { writes: [{ kind: 'job', instanceId, jobId: 1 }] });
      await store.engine.commit(ended);
      const failed = {
        failedCount: 1,
        failed: [{ position: 1, label: 'y', taskId: 'job_1.1', reason: 'it has failed' }],
      };
      expect(await store.results.failed(await made(), 'default')).toEqual(failed);
      await write(2, {
        writes: [{ kind: 'harvest', instance: await made(), project: 'default' }],
      });
      expect(await store.results.failed(await made(), 'default')).toEqual(failed);
      const file = (position: number, of: string): object => ({
        position,
        path: 'out',
        object: of.repeat(64),
        sizeBytes: 7,
      });
      const { path } = await made();
      const outputs = await store.results.outputs(await made(), [path, 'none'], 'default');
      expect([...outputs.keys()]).toEqual([path]);
      expect(outputs.get(path)).toEqual([file(0, '0'), file(2, '2'), file(3, '0')]);
      const found = await store.results.reuse(newRun, ['x', 'y', 'z'].map(keyOf), NOW_MS);
      expect(found).toEqual(new Set(['x', 'z'].map(keyOf)));
    });

    test('of thousands each task that succeeded has its result, and what was there stays', async () => {
      const places = (at: number): number => (at === 4500 ? 10 : at > 4500 ? at - 1 : at);
      const all = Array.from({ length: 5000 }, (_, at) => element(`e${places(at)}`, places(at)));
      const objectOf = (place: number): string => String(place).padStart(64, '0');
      await write(0, { writes: [instance([element('e42', 0)]), instance(all, 'all')] });
      const [first, many] = await Promise.all(
        ['work', 'all'].map(async (path) => (await store.results.instance(runId, 1, path))!),
      );
      const job = { ...ended.jobs[0]!, taskCount: 4999, rowCount: 4999, nextPosition: 4999 };
      const tasks = Array.from({ length: 4999 }, (_, at) =>
        task(at, at === 7 ? 'failed' : 'succeeded'),
      );
      const artifacts = tasks.map(({ position }) => ({
        ...ended.artifacts[0]!,
        position,
        object: objectOf(position),
      }));
      await store.engine.commit({ ...ended, jobs: [job], tasks, artifacts });
      for (const [at, { instanceId }] of [first!, many!].entries()) {
        await write(2 * at + 1, { writes: [{ kind: 'job', instanceId, jobId: 1 }] });
        const one = (await store.results.instance(runId, 1, at === 0 ? 'work' : 'all'))!;
        const harvest = { kind: 'harvest', instance: one, project: 'default' } as const;
        await write(2 * at + 2, { writes: [harvest] });
      }
      const files = (await store.results.outputs(many!, ['all'], 'default')).get('all')!;
      const expected = all.flatMap((_, at) => (at === 7 ? [] : [[at, objectOf(places(at))]]));
      expected[41] = [42, objectOf(0)];
      expect(files.map(({ position, object }) => [position, object])).toEqual(expected);
    });
  });
}
