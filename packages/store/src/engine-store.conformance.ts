import type { TaskState } from '@majorana/core';
import { isTerminal, TERMINAL_STATES, ZERO_COUNTS } from '@majorana/core';
import type { JobSpecInput } from '@majorana/protocol';
import { storedJobSpecSchema } from '@majorana/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type {
  ArtifactRecord,
  AttemptRecord,
  BulkMove,
  Change,
  EngineStore,
  JobRecord,
  TaskRecord,
  TransitionRecord,
} from './engine-store.ts';

/** An empty database, and what the tests need of it beside the engine's port. */
export interface StoreUnderTest extends AsyncDisposable {
  /** A new handle, as another process would have. */
  connect(): EngineStore;
  /** What the end of the process that had it does to a handle. */
  disconnect(store: EngineStore): Promise<void>;
  addProject(name: string): Promise<void>;
  addParameterSet(records: readonly Readonly<Record<string, string>>[]): Promise<number>;
  readTasks(jobId: number): Promise<TaskRecord[]>;
  readAttempts(jobId: number): Promise<AttemptRecord[]>;
  readArtifacts(jobId: number): Promise<ArtifactRecord[]>;
  /** By sequence. */
  readTransitions(jobId: number): Promise<TransitionRecord[]>;
}

const QUEUED_MAX = 100;
const NOW_MS = 1_700_000_000_000;
const TERMINAL: readonly TaskState[] = TERMINAL_STATES;

const change = (parts: Partial<Change>): Change => ({
  jobs: [],
  tasks: [],
  attempts: [],
  transitions: [],
  artifacts: [],
  queues: [],
  clusters: [],
  ...parts,
});

function makeJob(
  jobId: number,
  taskCount: number,
  edit: Partial<Omit<JobRecord, 'spec'>> & { readonly spec?: Partial<JobSpecInput> } = {},
): JobRecord {
  const { spec, ...fields } = edit;
  const untouchedState = fields.untouchedState ?? 'queued';
  return {
    jobId,
    spec: storedJobSpecSchema.parse({
      argv: ['true'],
      array: { kind: 'range', ranges: [{ from: 0, to: taskCount - 1, step: 1 }] },
      ...spec,
    }),
    taskCount,
    rowCount: 0,
    nextPosition: 0,
    untouchedState,
    counts: { ...ZERO_COUNTS, [untouchedState]: taskCount },
    submittedAtMs: NOW_MS,
    untouchedSinceMs: NOW_MS,
    outputBytes: 0,
    endedAtMs: null,
    ...fields,
  };
}

const makeTask = (
  jobId: number,
  position: number,
  state: TaskState,
  edit: Partial<TaskRecord> = {},
): TaskRecord => ({
  jobId,
  position,
  state,
  attemptNumber: state === 'queued' ? 0 : 1,
  retryCount: 0,
  memoryBytes: 2 ** 31,
  notBeforeMs: 0,
  sinceMs: NOW_MS,
  agentId: state === 'queued' ? null : 'agent-1',
  reason: `made ${state}`,
  exitCode: state === 'failed' ? 3 : null,
  isCancelling: false,
  ...edit,
});

const makeAttempt = (
  jobId: number,
  position: number,
  edit: Partial<AttemptRecord> = {},
): AttemptRecord => ({
  jobId,
  position,
  attemptNumber: 1,
  agentId: 'agent-1',
  queuedAtMs: NOW_MS,
  leasedAtMs: NOW_MS + 1,
  waitedFor: '',
  startedAtMs: null,
  endedAtMs: null,
  outcome: null,
  exitCode: null,
  signal: null,
  reason: null,
  peakMemoryBytes: null,
  cpuTimeMs: null,
  ...edit,
});

const makeTransition = (
  sequence: number,
  jobId: number,
  edit: Partial<TransitionRecord> = {},
): TransitionRecord => ({
  sequence,
  jobId,
  position: 0,
  atMs: NOW_MS,
  fromState: 'queued',
  toState: 'leased',
  attemptNumber: 1,
  reason: 'leased to agent-1',
  ...edit,
});

const makeArtifact = (
  jobId: number,
  position: number,
  edit: Partial<ArtifactRecord> = {},
): ArtifactRecord => ({
  jobId,
  position,
  attemptNumber: 1,
  role: 'output',
  path: 'out.txt',
  object: 'a'.repeat(64),
  sizeBytes: 17,
  ...edit,
});

/** A job all of whose tasks have a row, in these states from position 0. */
function makeRows(
  jobId: number,
  states: readonly TaskState[],
  spec?: Partial<JobSpecInput>,
): { job: JobRecord; tasks: TaskRecord[] } {
  const counts = { ...ZERO_COUNTS };
  for (const state of states) counts[state] += 1;
  const job = makeJob(jobId, states.length, {
    rowCount: states.length,
    nextPosition: states.length,
    counts,
    endedAtMs: states.every(isTerminal) ? NOW_MS : null,
    ...(spec === undefined ? {} : { spec }),
  });
  return { job, tasks: states.map((state, position) => makeTask(jobId, position, state)) };
}

const move = (jobId: number, edit: Partial<BulkMove>): BulkMove => ({
  jobId,
  from: ['failed'],
  to: 'queued',
  because: 'retried by a user',
  nowMs: NOW_MS + 5000,
  lastSequence: 0,
  fromPosition: 0,
  limit: 1000,
  ...edit,
});

const ascending = (a: number, b: number): number => a - b;
const byJobAndPosition = (a: TaskRecord, b: TaskRecord): number =>
  a.jobId - b.jobId || a.position - b.position;

/** What the engine relies on in any store; each implementation runs the same tests. */
export function describeEngineStore(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    let database: StoreUnderTest;
    let store: EngineStore;

    beforeEach(async () => {
      database = await make();
      store = database.connect();
      await store.load(QUEUED_MAX);
    });
    afterEach(async () => {
      await database[Symbol.asyncDispose]();
    });

    /** A known job under a fresh number. */
    const addRows = async (
      states: readonly TaskState[],
      spec?: Partial<JobSpecInput>,
    ): Promise<{ job: JobRecord; tasks: TaskRecord[] }> => {
      const rows = makeRows(await store.allocateJobId(), states, spec);
      await store.commit(change({ jobs: [rows.job], tasks: rows.tasks }));
      return rows;
    };

    test('an empty store has an empty hot set', async () => {
      expect(await store.load(QUEUED_MAX)).toEqual({
        jobs: [],
        tasks: [],
        attempts: [],
        upstreamJobs: [],
        rowsAhead: new Map(),
        queues: [],
        clusters: [],
        lastSequence: 0,
      });
    });

    test('job numbers are never given twice, also over a reload', async () => {
      const first = await store.allocateJobId();
      const second = await store.allocateJobId();
      await store.load(QUEUED_MAX);
      const third = await store.allocateJobId();
      expect(new Set([first, second, third]).size).toBe(3);
      expect(Math.min(first, second, third)).toBeGreaterThan(0);
    });

    describe('commit', () => {
      test('every field of every record comes back as it was written', async () => {
        const jobId = await store.allocateJobId();
        const job = makeJob(jobId, 3, {
          rowCount: 1,
          nextPosition: 1,
          counts: { ...ZERO_COUNTS, queued: 2, running: 1 },
          spec: {
            name: 'quotes " \' and \\ and line\nbreaks, π',
            labels: { lab: 'a' },
            idempotencyKey: 'k1',
          },
        });
        const task = makeTask(jobId, 0, 'running', { isCancelling: true, notBeforeMs: NOW_MS });
        const attempt = makeAttempt(jobId, 0, {
          startedAtMs: NOW_MS + 3,
          waitedFor: 'cpuMillis',
        });
        const transition = makeTransition(1, jobId);
        const queue = { name: 'night', weight: 2.5, parallelMax: 7, isPaused: true };
        const cluster = {
          name: 'lab',
          state: 'draining',
          sinceMs: NOW_MS,
          endsAtMs: NOW_MS + 1,
          sessionId: 's1',
          leaseTtlMs: 60_000,
          dataPricePerGb: 0.09,
        } as const;
        await store.commit(
          change({
            jobs: [job],
            tasks: [task],
            attempts: [attempt],
            transitions: [transition],
            queues: [queue],
            clusters: [cluster],
          }),
        );
        expect(await store.load(QUEUED_MAX)).toEqual({
          jobs: [job],
          tasks: [task],
          attempts: [attempt],
          upstreamJobs: [],
          rowsAhead: new Map(),
          queues: [queue],
          clusters: [cluster],
          lastSequence: 1,
        });
        expect(await store.loadJob(jobId)).toEqual(job);
        expect(await database.readTransitions(jobId)).toEqual([transition]);
      });

      test('a known record is replaced, its spec stays', async () => {
        const { job, tasks } = await addRows(['leased', 'queued']);
        const attempt = makeAttempt(job.jobId, 0);
        await store.commit(change({ attempts: [attempt] }));
        const later: JobRecord = {
          ...job,
          counts: { ...ZERO_COUNTS, succeeded: 1, queued: 1 },
          untouchedState: 'cancelled',
          untouchedSinceMs: NOW_MS + 7,
          outputBytes: 2 ** 40,
        };
        const ended = makeTask(job.jobId, 0, 'succeeded', { exitCode: 0, sinceMs: NOW_MS + 9 });
        const endedAttempt: AttemptRecord = {
          ...attempt,
          startedAtMs: NOW_MS + 2,
          endedAtMs: NOW_MS + 9,
          outcome: 'succeeded',
          exitCode: 0,
          signal: null,
          reason: 'exit code 0',
          peakMemoryBytes: 2 ** 40,
          cpuTimeMs: 2 ** 40,
        };
        await store.commit(change({ jobs: [later], tasks: [ended], attempts: [endedAttempt] }));
        expect(await store.loadJob(job.jobId)).toEqual(later);
        expect(await database.readTasks(job.jobId)).toEqual([ended, tasks[1]]);
        expect(await database.readAttempts(job.jobId)).toEqual([endedAttempt]);
      });

      test('one bad record leaves nothing of the change behind, and the store goes on', async () => {
        const { job, tasks } = await addRows(['queued']);
        const bad = { ...tasks[0]!, state: 'sleeping' as TaskState };
        const next = await store.allocateJobId();
        await expect(
          store.commit(
            change({
              jobs: [makeJob(next, 1)],
              transitions: [makeTransition(1, job.jobId)],
              tasks: [bad],
            }),
          ),
        ).rejects.toThrow();
        const hot = await store.load(QUEUED_MAX);
        expect(hot.jobs.map(({ jobId }) => jobId)).toEqual([job.jobId]);
        expect(hot.tasks).toEqual(tasks);
        expect(hot.lastSequence).toBe(0);
        await store.commit(change({ jobs: [makeJob(next, 1)] }));
        expect((await store.loadJob(next))?.taskCount).toBe(1);
      });

      test('the same change written twice is as written once', async () => {
        const jobId = await store.allocateJobId();
        const same = change({
          jobs: [makeJob(jobId, 1, { spec: { idempotencyKey: 'again' } })],
          tasks: [makeTask(jobId, 0, 'leased')],
          attempts: [makeAttempt(jobId, 0)],
          transitions: [makeTransition(1, jobId)],
          artifacts: [makeArtifact(jobId, 0)],
          queues: [{ name: 'q', weight: 1, isPaused: false }],
          clusters: [
            {
              name: 'lab',
              state: 'active',
              sinceMs: NOW_MS,
              endsAtMs: null,
              sessionId: null,
              leaseTtlMs: 5_400_000,
              dataPricePerGb: 0.09,
            },
          ],
        });
        await store.commit(same);
        const before = await store.load(QUEUED_MAX);
        await store.commit(same);
        expect(await store.load(QUEUED_MAX)).toEqual(before);
        expect(await database.readTransitions(jobId)).toHaveLength(1);
        expect(await database.readArtifacts(jobId)).toHaveLength(1);
      });

      test('a task of no known job is refused', async () => {
        await expect(
          store.commit(change({ tasks: [makeTask(4711, 0, 'queued')] })),
        ).rejects.toThrow();
      });

      test('records handed in or out may be changed afterwards without effect', async () => {
        const jobId = await store.allocateJobId();
        const counts = { ...ZERO_COUNTS, queued: 1 };
        const job = makeJob(jobId, 1, { counts });
        await store.commit(change({ jobs: [job] }));
        counts.queued = 99;
        const first = await store.loadJob(jobId);
        expect(first?.counts.queued).toBe(1);
      });

      test('long texts and large numbers are kept', async () => {
        const jobId = await store.allocateJobId();
        const argv = ['x'.repeat(100_000), ...Array.from({ length: 9000 }, (_, n) => `arg ${n}`)];
        const job = makeJob(jobId, 1_000_000, { spec: { argv } });
        const task = makeTask(jobId, 999_999, 'leased', {
          reason: 'r'.repeat(4096),
          memoryBytes: Number.MAX_SAFE_INTEGER,
        });
        await store.commit(change({ jobs: [job], tasks: [task] }));
        expect(await store.loadJob(jobId)).toEqual(job);
        expect(await database.readTasks(jobId)).toEqual([task]);
      });

      test('ten thousand tasks go in one change', async () => {
        const { tasks } = await addRows(Array.from({ length: 10_000 }, () => 'leased' as const));
        expect((await store.load(QUEUED_MAX)).tasks).toHaveLength(tasks.length);
      });
    });

    describe('idempotency keys', () => {
      test('a job is found by its key within its project only', async () => {
        await database.addProject('other');
        const jobId = await store.allocateJobId();
        await store.commit(
          change({ jobs: [makeJob(jobId, 1, { spec: { idempotencyKey: 'k' } })] }),
        );
        expect(await store.findJobByKey('default', 'k')).toBe(jobId);
        expect(await store.findJobByKey('other', 'k')).toBeUndefined();
        expect(await store.findJobByKey('default', 'K')).toBeUndefined();
      });

      test('a second job with the key is refused, in another project it is not', async () => {
        await database.addProject('other');
        const [first, second, third] = [
          await store.allocateJobId(),
          await store.allocateJobId(),
          await store.allocateJobId(),
        ];
        const withKey = (jobId: number, project: string): JobRecord =>
          makeJob(jobId, 1, { spec: { idempotencyKey: 'k', project } });
        await store.commit(change({ jobs: [withKey(first, 'default')] }));
        await expect(
          store.commit(change({ jobs: [withKey(second, 'default')] })),
        ).rejects.toThrow();
        // After a refused write the engine always loads again.
        await store.load(QUEUED_MAX);
        expect(await store.loadJob(second)).toBeUndefined();
        await store.commit(change({ jobs: [withKey(third, 'other')] }));
        expect(await store.findJobByKey('other', 'k')).toBe(third);
      });

      test('jobs without a key do not meet', async () => {
        const jobs = [
          makeJob(await store.allocateJobId(), 1),
          makeJob(await store.allocateJobId(), 1),
        ];
        await store.commit(change({ jobs }));
        expect((await store.load(QUEUED_MAX)).jobs).toHaveLength(2);
      });
    });

    describe('load', () => {
      test('brings open jobs, their held tasks and attempts, and no others', async () => {
        const open = await addRows(['succeeded', 'leased', 'starting', 'running', 'queued']);
        const ended = await addRows(['failed', 'succeeded']);
        await store.commit(
          change({
            attempts: [
              ...[1, 2, 3].map((position) => makeAttempt(open.job.jobId, position)),
              makeAttempt(open.job.jobId, 0, { endedAtMs: NOW_MS, outcome: 'succeeded' }),
              makeAttempt(ended.job.jobId, 0, { endedAtMs: NOW_MS, outcome: 'exit_code' }),
            ],
          }),
        );
        const hot = await store.load(QUEUED_MAX);
        expect(hot.jobs).toEqual([open.job]);
        expect([...hot.tasks].toSorted(byJobAndPosition)).toEqual(open.tasks.slice(1));
        expect(hot.attempts.map(({ position }) => position).toSorted(ascending)).toEqual([1, 2, 3]);
      });

      test('of a held task only the last attempt comes', async () => {
        const { job, tasks } = await addRows(['running']);
        await store.commit(
          change({
            tasks: [{ ...tasks[0]!, attemptNumber: 2 }],
            attempts: [
              makeAttempt(job.jobId, 0, { endedAtMs: NOW_MS, outcome: 'lost' }),
              makeAttempt(job.jobId, 0, { attemptNumber: 2 }),
            ],
          }),
        );
        const hot = await store.load(QUEUED_MAX);
        expect(hot.attempts.map(({ attemptNumber }) => attemptNumber)).toEqual([2]);
      });

      test('all held tasks come, of queued ones at most so many of each job, the readiest', async () => {
        const states: TaskState[] = ['queued', 'running', 'queued', 'running', 'queued', 'queued'];
        const first = await addRows(states);
        const second = await addRows(states);
        await store.commit(
          change({ tasks: [makeTask(first.job.jobId, 0, 'queued', { notBeforeMs: NOW_MS })] }),
        );
        const hot = await store.load(2);
        const positions = (jobId: number): number[] =>
          hot.tasks
            .filter((task) => task.jobId === jobId)
            .map(({ position }) => position)
            .toSorted(ascending);
        expect(positions(first.job.jobId)).toEqual([1, 2, 3, 4]);
        expect(positions(second.job.jobId)).toEqual([0, 1, 2, 3]);
      });

      test('ended jobs that open ones come after are brought along, once', async () => {
        const upstream = await addRows(['succeeded']);
        await addRows(['succeeded']);
        const after = [{ jobId: upstream.job.jobId, on: 'ok' as const }];
        const waiting = [
          makeJob(await store.allocateJobId(), 1, { untouchedState: 'pending', spec: { after } }),
          makeJob(await store.allocateJobId(), 1, { untouchedState: 'pending', spec: { after } }),
        ];
        await store.commit(change({ jobs: waiting }));
        const hot = await store.load(QUEUED_MAX);
        expect(hot.upstreamJobs).toEqual([upstream.job]);
        expect(hot.jobs).toEqual(waiting);
      });

      test('an open upstream job is among the jobs only', async () => {
        const upstream = await addRows(['running']);
        const after = [{ jobId: upstream.job.jobId, on: 'any' as const }];
        await addRows(['queued'], { after });
        expect((await store.load(QUEUED_MAX)).upstreamJobs).toEqual([]);
      });

      test('rows at or above the next position are told, by job', async () => {
        const jobId = await store.allocateJobId();
        const job = makeJob(jobId, 10, {
          nextPosition: 2,
          rowCount: 5,
          counts: { ...ZERO_COUNTS, queued: 6, running: 2, cancelled: 2 },
        });
        const tasks = [
          makeTask(jobId, 0, 'running'),
          makeTask(jobId, 1, 'running'),
          makeTask(jobId, 7, 'cancelled'),
          makeTask(jobId, 2, 'cancelled'),
          makeTask(jobId, 9, 'queued'),
        ];
        await store.commit(change({ jobs: [job], tasks }));
        const { rowsAhead } = await store.load(QUEUED_MAX);
        expect([...(rowsAhead.get(jobId) ?? [])].toSorted(ascending)).toEqual([2, 7, 9]);
        const ahead = await store.loadRowsAhead(jobId, 3);
        expect(ahead.toSorted(ascending)).toEqual([7, 9]);
        expect(await store.loadRowsAhead(jobId, 10)).toEqual([]);
      });

      test('the last sequence is that of the highest transition of all', async () => {
        const first = await addRows(['queued']);
        const second = await addRows(['queued']);
        await store.commit(
          change({
            transitions: [
              makeTransition(1, second.job.jobId),
              makeTransition(2, first.job.jobId),
              makeTransition(3, first.job.jobId),
            ],
          }),
        );
        expect((await store.load(QUEUED_MAX)).lastSequence).toBe(3);
      });

      test('two processes are never both writers', async () => {
        const { job } = await addRows(['queued']);
        const other = database.connect();
        const loading = other.load(QUEUED_MAX);
        const write = (): Promise<void> => store.commit(change({ jobs: [job] }));
        const first = await Promise.race([
          loading.then(() => 'loaded' as const),
          write().then(
            () => 'wrote' as const,
            () => 'refused' as const,
          ),
        ]);
        // Either the second waits for the end of the first, or the first is fenced from then on.
        if (first !== 'wrote') {
          await loading;
          await expect(write()).rejects.toThrow();
        }
        await database.disconnect(store);
        await loading;
        await other.commit(change({ jobs: [{ ...job, untouchedSinceMs: NOW_MS + 1 }] }));
        expect((await other.loadJob(job.jobId))?.untouchedSinceMs).toBe(NOW_MS + 1);
      });

      test('a process may load again, and writes on', async () => {
        const { job } = await addRows(['queued']);
        await store.load(QUEUED_MAX);
        await store.load(QUEUED_MAX);
        await store.commit(change({ jobs: [job] }));
        expect((await store.load(QUEUED_MAX)).jobs).toEqual([job]);
      });
    });

    describe('moveTasks', () => {
      test('moves rows, writes their transitions and the counts, and opens an ended job', async () => {
        const { job } = await addRows(['failed', 'succeeded', 'failed']);
        const result = await store.moveTasks(move(job.jobId, { lastSequence: 40 }));
        const counts = { ...ZERO_COUNTS, queued: 2, succeeded: 1 };
        expect(result).toMatchObject({ job: { ...job, counts, endedAtMs: null }, movedCount: 2 });
        expect(await store.loadJob(job.jobId)).toEqual(result.job);
        const [first, second, third] = await database.readTasks(job.jobId);
        expect(second).toMatchObject({ state: 'succeeded', sinceMs: NOW_MS });
        for (const task of [first, third]) {
          expect(task).toMatchObject({
            state: 'queued',
            attemptNumber: 1,
            retryCount: 0,
            notBeforeMs: 0,
            agentId: null,
            isCancelling: false,
            reason: 'retried by a user',
            sinceMs: NOW_MS + 5000,
          });
        }
        const transition = {
          jobId: job.jobId,
          atMs: NOW_MS + 5000,
          fromState: 'failed',
          toState: 'queued',
          attemptNumber: 1,
          reason: 'retried by a user',
        };
        expect(await database.readTransitions(job.jobId)).toEqual([
          { ...transition, sequence: 41, position: 0 },
          { ...transition, sequence: 42, position: 2 },
        ]);
        expect((await store.load(QUEUED_MAX)).lastSequence).toBe(42);
      });

      test('retries are counted anew and memory stays', async () => {
        const { job, tasks } = await addRows(['failed']);
        const grown = { ...tasks[0]!, retryCount: 3, attemptNumber: 4, memoryBytes: 2 ** 33 };
        await store.commit(change({ tasks: [grown] }));
        await store.moveTasks(move(job.jobId, {}));
        expect((await database.readTasks(job.jobId))[0]).toMatchObject({
          retryCount: 0,
          attemptNumber: 4,
          memoryBytes: 2 ** 33,
        });
      });

      test('several states move at once, each counted from its own', async () => {
        const { job } = await addRows(['failed', 'cancelled', 'succeeded', 'queued']);
        const { job: moved, movedCount } = await store.moveTasks(
          move(job.jobId, { from: ['failed', 'cancelled'] }),
        );
        expect(movedCount).toBe(2);
        expect(moved.counts).toEqual({ ...ZERO_COUNTS, queued: 3, succeeded: 1 });
        const froms = (await database.readTransitions(job.jobId)).map((one) => one.fromState);
        expect(froms).toEqual(['failed', 'cancelled']);
      });

      test.each([
        ['an exit code', { exitCode: 75 }, [1, 4]],
        ['a reason', { reason: 'exit code 9' }, [2]],
        ['both', { exitCode: 75, reason: 'exit code 9' }, []],
        ['one position', { position: 3 }, [3]],
        ['a limit, the lowest positions first', { limit: 2 }, [0, 1]],
        ['a limit within a filter', { exitCode: 75, limit: 1 }, [1]],
        ['a first position', { fromPosition: 2, limit: 2 }, [2, 3]],
      ] as const)('moves only what %s allows', async (_name, filter, expected) => {
        const { job, tasks } = await addRows(Array.from({ length: 5 }, () => 'failed' as const));
        const codes = [3, 75, 9, 3, 75];
        await store.commit(
          change({
            // Written backwards: the order of rows must not decide.
            tasks: tasks
              .map((task, number) => ({
                ...task,
                exitCode: codes[number]!,
                reason: `exit code ${codes[number]}`,
              }))
              .toReversed(),
          }),
        );
        const { movedCount, lastPosition } = await store.moveTasks(move(job.jobId, filter));
        expect(lastPosition).toBe(expected.at(-1) ?? -1);
        const moved = (await database.readTasks(job.jobId)).filter(
          (task) => task.state === 'queued',
        );
        expect(moved.map(({ position }) => position)).toEqual(expected);
        expect(movedCount).toBe(expected.length);
      });

      test('what matches nothing moves nothing and writes no sequence', async () => {
        const { job } = await addRows(['succeeded', 'queued']);
        expect(await store.moveTasks(move(job.jobId, {}))).toEqual({
          job,
          movedCount: 0,
          lastPosition: -1,
        });
        expect(await database.readTransitions(job.jobId)).toEqual([]);
      });

      test('queued rows are cancelled, and an open job stays open', async () => {
        const { job } = await addRows(['queued', 'running', 'queued']);
        const result = await store.moveTasks(
          move(job.jobId, { from: ['queued'], to: 'cancelled', because: 'cancelled by a user' }),
        );
        expect(result.movedCount).toBe(2);
        expect(result.job).toEqual({
          ...job,
          counts: { ...ZERO_COUNTS, cancelled: 2, running: 1 },
        });
        expect((await database.readTasks(job.jobId)).map((task) => task.state)).toEqual([
          'cancelled',
          'running',
          'cancelled',
        ]);
      });

      test('a cancel forgets no retries', async () => {
        const { job, tasks } = await addRows(['queued']);
        await store.commit(change({ tasks: [{ ...tasks[0]!, retryCount: 2, attemptNumber: 3 }] }));
        await store.moveTasks(move(job.jobId, { from: ['queued'], to: 'cancelled' }));
        expect((await database.readTasks(job.jobId))[0]).toMatchObject({
          state: 'cancelled',
          retryCount: 2,
          attemptNumber: 3,
        });
      });

      test('tasks without a row are left alone', async () => {
        const jobId = await store.allocateJobId();
        const job = makeJob(jobId, 100, {
          rowCount: 1,
          nextPosition: 1,
          counts: { ...ZERO_COUNTS, queued: 99, failed: 1 },
        });
        await store.commit(change({ jobs: [job], tasks: [makeTask(jobId, 0, 'failed')] }));
        const { job: moved } = await store.moveTasks(move(jobId, { from: ['failed', 'queued'] }));
        expect(moved).toMatchObject({
          rowCount: 1,
          nextPosition: 1,
          counts: { queued: 100, failed: 0 },
        });
      });

      test('rows of other jobs are left alone', async () => {
        const { job } = await addRows(['failed']);
        const other = await addRows(['failed']);
        await store.moveTasks(move(job.jobId, {}));
        expect(await database.readTasks(other.job.jobId)).toEqual(other.tasks);
        expect(await store.loadJob(other.job.jobId)).toEqual(other.job);
      });

      test('a job that is not there is refused', async () => {
        await expect(store.moveTasks(move(4711, {}))).rejects.toThrow();
      });
    });

    describe('moveElements', () => {
      const addWaiting = async (
        upstreamJobId: number,
        taskCount: number,
        on: 'ok' | 'any',
      ): Promise<JobRecord> => {
        const job = makeJob(await store.allocateJobId(), taskCount, {
          untouchedState: 'pending',
          spec: { after: [{ jobId: upstreamJobId, on, each: true }] },
        });
        await store.commit(change({ jobs: [job] }));
        return job;
      };
      const upstreamStates: TaskState[] = [
        'succeeded',
        'failed',
        'running',
        'cancelled',
        'queued',
        'succeeded',
      ];

      test.each([
        ['ok', { 0: 'queued', 1: 'cancelled', 3: 'cancelled', 5: 'queued' }],
        ['any', { 0: 'queued', 1: 'queued', 3: 'queued', 5: 'queued' }],
      ] as const)(
        'on "%s", rows are made where the upstream task has ended',
        async (on, expected) => {
          const upstream = await addRows(upstreamStates);
          const job = await addWaiting(upstream.job.jobId, 6, on);
          const elements = {
            jobId: job.jobId,
            upstreamJobId: upstream.job.jobId,
            on,
            nowMs: NOW_MS + 100,
            lastSequence: 7,
          };
          const result = await store.moveElements(elements);
          const tasks = await database.readTasks(job.jobId);
          expect(Object.fromEntries(tasks.map((task) => [task.position, task.state]))).toEqual(
            expected,
          );
          const queued = Object.values(expected).filter((state) => state === 'queued').length;
          expect(result).toMatchObject({
            job: {
              ...job,
              rowCount: 4,
              counts: { ...ZERO_COUNTS, pending: 2, queued, cancelled: 4 - queued },
            },
            movedCount: 4,
          });
          expect(await store.loadJob(job.jobId)).toEqual(result.job);
          expect(tasks[0]).toMatchObject({
            attemptNumber: 0,
            retryCount: 0,
            memoryBytes: job.spec.resources.memoryBytes,
            sinceMs: NOW_MS + 100,
            agentId: null,
            exitCode: null,
            isCancelling: false,
          });
          const transitions = await database.readTransitions(job.jobId);
          expect(transitions.map((one) => one.sequence)).toEqual([8, 9, 10, 11]);
          expect(transitions.map((one) => one.position)).toEqual([0, 1, 3, 5]);
          expect(new Set(transitions.map((one) => one.fromState))).toEqual(new Set(['pending']));
          expect((await store.load(QUEUED_MAX)).lastSequence).toBe(11);
        },
      );

      test('where a row exists nothing changes, so a second call makes only what is new', async () => {
        const upstream = await addRows(upstreamStates);
        const job = await addWaiting(upstream.job.jobId, 6, 'ok');
        const elements = {
          jobId: job.jobId,
          upstreamJobId: upstream.job.jobId,
          on: 'ok' as const,
          nowMs: NOW_MS,
          lastSequence: 0,
        };
        const first = await store.moveElements(elements);
        expect(await store.moveElements({ ...elements, lastSequence: 4 })).toMatchObject({
          job: first.job,
          movedCount: 0,
        });
        await store.commit(change({ tasks: [makeTask(upstream.job.jobId, 2, 'succeeded')] }));
        const third = await store.moveElements({ ...elements, lastSequence: 4 });
        expect(third.movedCount).toBe(1);
        expect(third.job).toMatchObject({ rowCount: 5, counts: { pending: 1, queued: 3 } });
        const transitions = await database.readTransitions(job.jobId);
        expect(transitions.map((one) => one.sequence)).toEqual([1, 2, 3, 4, 5]);
      });

      test('its rows come back with the hot set', async () => {
        const upstream = await addRows(['succeeded', 'running', 'succeeded']);
        const job = await addWaiting(upstream.job.jobId, 3, 'ok');
        await store.moveElements({
          jobId: job.jobId,
          upstreamJobId: upstream.job.jobId,
          on: 'ok',
          nowMs: NOW_MS,
          lastSequence: 0,
        });
        const hot = await store.load(QUEUED_MAX);
        const mine = hot.tasks.filter((task) => task.jobId === job.jobId);
        expect(mine.map(({ position }) => position).toSorted(ascending)).toEqual([0, 2]);
        expect([...(hot.rowsAhead.get(job.jobId) ?? [])].toSorted(ascending)).toEqual([0, 2]);
      });
    });

    describe('reads', () => {
      test('queued tasks come in the order they may start, at most so many', async () => {
        const { job, tasks } = await addRows(['queued', 'queued', 'queued', 'running', 'queued']);
        const times = [50, 10, 50, 0, 0];
        await store.commit(
          change({ tasks: tasks.map((task, n) => ({ ...task, notBeforeMs: times[n]! })) }),
        );
        const positions = async (limit: number): Promise<number[]> =>
          (await store.loadQueuedTasks(job.jobId, limit)).map(({ position }) => position);
        expect(await positions(10)).toEqual([4, 1, 0, 2]);
        expect(await positions(3)).toEqual([4, 1, 0]);
      });

      test('outputs are those of the last attempts of succeeded tasks', async () => {
        const { job, tasks } = await addRows(['succeeded', 'failed', 'succeeded', 'running']);
        const { jobId } = job;
        const wanted = [
          makeArtifact(jobId, 0, { attemptNumber: 2, path: 'a' }),
          makeArtifact(jobId, 0, { attemptNumber: 2, path: 'b' }),
          makeArtifact(jobId, 2),
        ];
        await store.commit(
          change({
            tasks: [{ ...tasks[0]!, attemptNumber: 2 }],
            artifacts: [
              ...wanted,
              makeArtifact(jobId, 0, { attemptNumber: 1, path: 'a' }),
              makeArtifact(jobId, 0, { attemptNumber: 2, role: 'stdout', path: 'stdout' }),
              makeArtifact(jobId, 1),
              makeArtifact(jobId, 3),
            ],
          }),
        );
        const outputs = await store.loadOutputs(jobId);
        expect(outputs).toHaveLength(wanted.length);
        expect(outputs).toEqual(expect.arrayContaining(wanted));
        expect(await store.loadOutputs(jobId + 1)).toEqual([]);
      });

      test('an ended job is found, an unknown one is not', async () => {
        const { job } = await addRows(['succeeded']);
        expect(await store.loadJob(job.jobId)).toEqual(job);
        expect(await store.loadJob(job.jobId + 1)).toBeUndefined();
      });

      test('the fields at a position of a parameter set come as they were given', async () => {
        const records = Array.from({ length: 2500 }, (_, n) => ({
          molecule: `C${n}`,
          note: 'π "quoted"',
        }));
        const parameterSetId = await database.addParameterSet(records);
        for (const position of [0, 999, 1000, 2499]) {
          expect(await store.loadFields(parameterSetId, position)).toEqual(records[position]);
        }
        await expect(store.loadFields(parameterSetId, 2500)).rejects.toThrow();
      });

      test('every state of a task can be written', async () => {
        const states: TaskState[] = ['pending', 'suspended', 'starting', ...TERMINAL];
        const { job, tasks } = await addRows(states);
        expect(await database.readTasks(job.jobId)).toEqual(tasks);
      });
    });
  });
}
