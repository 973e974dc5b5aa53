import type { StateCounts, TaskState } from '@majorana/core';
import { isHeld, isTerminal, OUTCOME_KINDS, TASK_STATES, TERMINAL_STATES } from '@majorana/core';
import type {
  ArtifactRecord,
  AttemptRecord,
  BulkMove,
  BulkResult,
  Change,
  ClusterRecord,
  ElementMove,
  EngineStore,
  HotSet,
  JobRecord,
  QueueRecord,
  TaskRecord,
  TransitionRecord,
} from './engine-store.ts';

/** What PostgreSQL would refuse: a key used twice, a state that is none, a fraction in an integer. */
export class ConstraintError extends Error {
  override name = 'ConstraintError';
  readonly code = 'constraint';
}

/** Another handle has loaded since: its session holds the lock now. */
export class FencedError extends Error {
  override name = 'FencedError';
  readonly code = 'fenced';
}

const NO_CHANGE: Change = {
  jobs: [],
  tasks: [],
  attempts: [],
  transitions: [],
  artifacts: [],
  queues: [],
  clusters: [],
};

interface Rows {
  readonly tasks: Map<number, TaskRecord>;
  /** By position and number, as text. */
  readonly attempts: Map<string, AttemptRecord>;
  readonly artifacts: Map<string, ArtifactRecord>;
  readonly transitions: TransitionRecord[];
  /** Positions of tasks in leased, starting or running. */
  readonly held: Set<number>;
}

const keyOf = (project: string, idempotencyKey: string): string => `${project}\0${idempotencyKey}`;
const artifactKey = (record: ArtifactRecord): string =>
  `${record.position}.${record.attemptNumber}.${record.role}.${record.path}`;
const states: ReadonlySet<string> = new Set(TASK_STATES);
const outcomes: ReadonlySet<string> = new Set(OUTCOME_KINDS);

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}

/** A copy nobody can change, so that a record shared by mistake shows at once. */
const keep = <R extends object>(record: R): R => Object.freeze({ ...record });

const keepJob = (job: JobRecord): JobRecord =>
  Object.freeze({
    ...job,
    spec: Object.isFrozen(job.spec) ? job.spec : deepFreeze(structuredClone(job.spec)),
    counts: Object.freeze({ ...job.counts }),
  });

function refuse(why: string): never {
  throw new ConstraintError(why);
}

const FRACTIONS: ReadonlySet<string> = new Set(['weight', 'dataPricePerGb']);

/** Integer columns take no fraction, text no NUL. */
function checkValues(record: object): void {
  for (const [name, value] of Object.entries(record)) {
    if (typeof value === 'number' && !FRACTIONS.has(name) && !Number.isSafeInteger(value)) {
      refuse(`${name} is ${value}, not an integer`);
    }
    if (typeof value === 'string' && value.includes('\0')) refuse(`${name} holds a NUL`);
  }
}

const checkState = (state: string): void => {
  if (!states.has(state)) refuse(`${state} is no state`);
};

const isSame = (a: object, b: object): boolean => JSON.stringify(a) === JSON.stringify(b);

const byPosition = (a: { readonly position: number }, b: { readonly position: number }): number =>
  a.position - b.position;
const byReadiness = (a: TaskRecord, b: TaskRecord): number =>
  a.notBeforeMs - b.notBeforeMs || a.position - b.position;

function moveCounts(
  counts: StateCounts,
  moves: Iterable<readonly [from: TaskState, to: TaskState]>,
): StateCounts {
  const moved: Record<TaskState, number> = { ...counts };
  for (const [from, to] of moves) {
    moved[from] -= 1;
    moved[to] += 1;
  }
  return moved;
}

/**
 * A database in memory with the rules of the PostgreSQL one. It outlives the handles on it, so a
 * simulated process may crash and another connect. Every write goes through `apply` whole, and is
 * shown to the observer: the simulation's oracle looks at what changed, never at everything.
 */
export class MemoryDatabase {
  readonly #jobs = new Map<number, JobRecord>();
  readonly #open = new Set<number>();
  readonly #rows = new Map<number, Rows>();
  readonly #keys = new Map<string, number>();
  readonly #queues = new Map<string, QueueRecord>();
  readonly #clusters = new Map<string, ClusterRecord>();
  readonly #sequences = new Map<number, TransitionRecord>();
  readonly #parameterSets: (readonly Readonly<Record<string, string>>[])[] = [];
  #lastJobId = 0;
  #lastSequence = 0;
  #writer: MemoryStore | undefined;
  /** Called after each applied write with what it wrote. */
  observer: (change: Change) => void = () => undefined;

  connect(): MemoryStore {
    return new MemoryStore(this);
  }

  addParameterSet(records: readonly Readonly<Record<string, string>>[]): number {
    this.#parameterSets.push(deepFreeze(structuredClone(records)));
    return this.#parameterSets.length;
  }

  fieldsAt(parameterSetId: number, position: number): Record<string, string> {
    const record = this.#parameterSets[parameterSetId - 1]?.[position];
    if (record === undefined) refuse(`parameter set ${parameterSetId} has no ${position}`);
    return { ...record };
  }

  get jobs(): ReadonlyMap<number, JobRecord> {
    return this.#jobs;
  }

  get openJobIds(): ReadonlySet<number> {
    return this.#open;
  }

  get queues(): ReadonlyMap<string, QueueRecord> {
    return this.#queues;
  }

  get clusters(): ReadonlyMap<string, ClusterRecord> {
    return this.#clusters;
  }

  get lastSequence(): number {
    return this.#lastSequence;
  }

  rowsOf(jobId: number): Readonly<Rows> {
    const known = this.#rows.get(jobId);
    if (known !== undefined) return known;
    const rows: Rows = {
      tasks: new Map(),
      attempts: new Map(),
      artifacts: new Map(),
      transitions: [],
      held: new Set(),
    };
    this.#rows.set(jobId, rows);
    return rows;
  }

  attemptOf(jobId: number, position: number, attemptNumber: number): AttemptRecord | undefined {
    return this.rowsOf(jobId).attempts.get(`${position}.${attemptNumber}`);
  }

  findJobByKey(project: string, idempotencyKey: string): number | undefined {
    return this.#keys.get(keyOf(project, idempotencyKey));
  }

  allocateJobId(): number {
    this.#lastJobId += 1;
    return this.#lastJobId;
  }

  makeWriter(store: MemoryStore): void {
    this.#writer = store;
  }

  checkWriter(store: MemoryStore): void {
    if (this.#writer !== store) throw new FencedError('another process is the writer');
  }

  /** All of it or nothing: everything is checked before anything is written. */
  apply(change: Change): void {
    this.#check(change);
    for (const job of change.jobs) this.#putJob(job);
    for (const task of change.tasks) this.#putTask(task);
    for (const attempt of change.attempts) {
      const { attempts } = this.rowsOf(attempt.jobId);
      attempts.set(`${attempt.position}.${attempt.attemptNumber}`, keep(attempt));
    }
    for (const transition of change.transitions) this.#putTransition(transition);
    for (const artifact of change.artifacts) {
      const { artifacts } = this.rowsOf(artifact.jobId);
      if (!artifacts.has(artifactKey(artifact))) {
        artifacts.set(artifactKey(artifact), keep(artifact));
      }
    }
    for (const queue of change.queues) this.#queues.set(queue.name, keep(queue));
    for (const cluster of change.clusters) this.#clusters.set(cluster.name, keep(cluster));
    this.observer(change);
  }

  #check(change: Change): void {
    this.#checkJobs(change.jobs);
    const coming = new Set(change.jobs.map((job) => job.jobId));
    for (const rows of [change.tasks, change.attempts, change.transitions, change.artifacts]) {
      for (const row of rows) {
        checkValues(row);
        if (!coming.has(row.jobId) && !this.#jobs.has(row.jobId)) refuse(`no job ${row.jobId}`);
      }
    }
    for (const task of change.tasks) checkState(task.state);
    for (const { outcome } of change.attempts) {
      if (outcome !== null && !outcomes.has(outcome)) refuse(`${outcome} is no outcome`);
    }
    this.#checkTransitions(change.transitions);
  }

  #checkJobs(jobs: readonly JobRecord[]): void {
    const keys = new Map<string, number>();
    for (const { jobId, spec, taskCount, rowCount, nextPosition, ...job } of jobs) {
      checkValues({ jobId, taskCount, rowCount, nextPosition, ...job.counts });
      checkState(job.untouchedState);
      if (spec.idempotencyKey === undefined) continue;
      const key = keyOf(spec.project, spec.idempotencyKey);
      const known = this.#keys.get(key) ?? keys.get(key) ?? jobId;
      if (known !== jobId) refuse(`idempotency key ${spec.idempotencyKey} is job ${known}'s`);
      keys.set(key, jobId);
    }
  }

  #checkTransitions(transitions: readonly TransitionRecord[]): void {
    const sequences = new Set<number>();
    for (const transition of transitions) {
      checkState(transition.fromState);
      checkState(transition.toState);
      const known = this.#sequences.get(transition.sequence);
      const isTaken = known !== undefined && !isSame(known, transition);
      if (isTaken || sequences.has(transition.sequence)) {
        refuse(`sequence ${transition.sequence} is taken`);
      }
      sequences.add(transition.sequence);
    }
  }

  #putJob(job: JobRecord): void {
    const known = this.#jobs.get(job.jobId);
    // As the upsert does: what never changes is kept as it was first written.
    const kept = known && {
      spec: known.spec,
      taskCount: known.taskCount,
      submittedAtMs: known.submittedAtMs,
    };
    this.#jobs.set(job.jobId, keepJob({ ...job, ...kept }));
    if (job.endedAtMs === null) this.#open.add(job.jobId);
    else this.#open.delete(job.jobId);
    const { project, idempotencyKey } = job.spec;
    if (idempotencyKey !== undefined) this.#keys.set(keyOf(project, idempotencyKey), job.jobId);
  }

  #putTask(task: TaskRecord): void {
    const { tasks, held } = this.rowsOf(task.jobId);
    tasks.set(task.position, keep(task));
    if (isHeld(task.state)) held.add(task.position);
    else held.delete(task.position);
  }

  #putTransition(transition: TransitionRecord): void {
    if (this.#sequences.has(transition.sequence)) return;
    const kept = keep(transition);
    this.#sequences.set(kept.sequence, kept);
    this.rowsOf(kept.jobId).transitions.push(kept);
    this.#lastSequence = Math.max(this.#lastSequence, kept.sequence);
  }
}

/** One process's handle. The last one to load is the writer; the writes of all others are refused. */
export class MemoryStore implements EngineStore {
  readonly #database: MemoryDatabase;

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  async load(queuedMax: number): Promise<HotSet> {
    const database = this.#database;
    database.makeWriter(this);
    const jobs = [...database.openJobIds]
      .toSorted((a, b) => a - b)
      .map((jobId) => database.jobs.get(jobId)!);
    const tasks: TaskRecord[] = [];
    const attempts: AttemptRecord[] = [];
    const rowsAhead = new Map<number, readonly number[]>();
    for (const { jobId, nextPosition } of jobs) {
      const rows = database.rowsOf(jobId);
      for (const position of [...rows.held].toSorted((a, b) => a - b)) {
        const task = rows.tasks.get(position)!;
        tasks.push(task);
        const attempt = database.attemptOf(jobId, position, task.attemptNumber);
        if (attempt !== undefined) attempts.push(attempt);
      }
      tasks.push(...this.#queued(jobId, queuedMax));
      const ahead = this.#rowsAhead(jobId, nextPosition);
      if (ahead.length > 0) rowsAhead.set(jobId, ahead);
    }
    const upstreamIds = new Set(jobs.flatMap((job) => job.spec.after.map((one) => one.jobId)));
    return {
      jobs,
      tasks,
      attempts,
      upstreamJobs: [...upstreamIds]
        .map((jobId) => database.jobs.get(jobId))
        .filter((job) => job !== undefined && job.endedAtMs !== null) as JobRecord[],
      rowsAhead,
      queues: [...database.queues.values()],
      clusters: [...database.clusters.values()],
      lastSequence: database.lastSequence,
    };
  }

  async commit(change: Change): Promise<void> {
    this.#database.checkWriter(this);
    this.#database.apply(change);
  }

  async allocateJobId(): Promise<number> {
    return this.#database.allocateJobId();
  }

  async findJobByKey(project: string, idempotencyKey: string): Promise<number | undefined> {
    return this.#database.findJobByKey(project, idempotencyKey);
  }

  async loadJob(jobId: number): Promise<JobRecord | undefined> {
    return this.#database.jobs.get(jobId);
  }

  async loadQueuedTasks(jobId: number, limit: number): Promise<TaskRecord[]> {
    return this.#queued(jobId, limit);
  }

  async moveTasks(move: BulkMove): Promise<BulkResult> {
    this.#database.checkWriter(this);
    const job = this.#job(move.jobId);
    const { tasks } = this.#database.rowsOf(move.jobId);
    const rows = [...tasks.values()]
      .filter(
        (task) =>
          task.position >= move.fromPosition &&
          move.from.includes(task.state) &&
          (move.exitCode === undefined || task.exitCode === move.exitCode) &&
          (move.reason === undefined || task.reason === move.reason) &&
          (move.position === undefined || task.position === move.position),
      )
      .toSorted(byPosition)
      .slice(0, move.limit);
    const moved = rows.map((task) => ({
      ...task,
      state: move.to,
      reason: move.because,
      sinceMs: move.nowMs,
      notBeforeMs: 0,
      // A user's retry counts anew; a cancel leaves the history as it is.
      retryCount: move.to === 'queued' ? 0 : task.retryCount,
      agentId: null,
      isCancelling: false,
    }));
    return this.#applyMoves(job, moved, (position) => tasks.get(position)!.state, move);
  }

  async moveElements(move: ElementMove): Promise<BulkResult> {
    this.#database.checkWriter(this);
    const job = this.#job(move.jobId);
    const upstream = this.#database.rowsOf(move.upstreamJobId).tasks;
    const { tasks } = this.#database.rowsOf(move.jobId);
    const made = [...upstream.values()]
      .filter(
        (task) =>
          isTerminal(task.state) && task.position < job.taskCount && !tasks.has(task.position),
      )
      .toSorted(byPosition)
      .map((task): TaskRecord => {
        const isMet = move.on === 'any' || task.state === 'succeeded';
        return {
          jobId: job.jobId,
          position: task.position,
          state: isMet ? 'queued' : 'cancelled',
          attemptNumber: 0,
          retryCount: 0,
          memoryBytes: job.spec.resources.memoryBytes,
          notBeforeMs: 0,
          sinceMs: move.nowMs,
          agentId: null,
          reason: `the task it waited for ${task.state}`,
          exitCode: null,
          isCancelling: false,
        };
      });
    const counted = { ...job, rowCount: job.rowCount + made.length };
    return this.#applyMoves(counted, made, () => job.untouchedState, move);
  }

  async loadRowsAhead(jobId: number, fromPosition: number): Promise<number[]> {
    return this.#rowsAhead(jobId, fromPosition);
  }

  async loadOutputs(jobId: number): Promise<ArtifactRecord[]> {
    const { artifacts, tasks } = this.#database.rowsOf(jobId);
    return [...artifacts.values()]
      .filter((artifact) => {
        const task = tasks.get(artifact.position);
        return (
          artifact.role === 'output' &&
          task?.state === 'succeeded' &&
          task.attemptNumber === artifact.attemptNumber
        );
      })
      .toSorted((a, b) => byPosition(a, b) || (a.path < b.path ? -1 : 1));
  }

  async loadFields(parameterSetId: number, position: number): Promise<Record<string, string>> {
    return this.#database.fieldsAt(parameterSetId, position);
  }

  #job(jobId: number): JobRecord {
    return this.#database.jobs.get(jobId) ?? refuse(`no job ${jobId}`);
  }

  #queued(jobId: number, limit: number): TaskRecord[] {
    return [...this.#database.rowsOf(jobId).tasks.values()]
      .filter((task) => task.state === 'queued')
      .toSorted(byReadiness)
      .slice(0, limit);
  }

  #rowsAhead(jobId: number, fromPosition: number): number[] {
    return [...this.#database.rowsOf(jobId).tasks.keys()]
      .filter((position) => position >= fromPosition)
      .toSorted((a, b) => a - b);
  }

  #applyMoves(
    job: JobRecord,
    moved: readonly TaskRecord[],
    fromState: (position: number) => TaskState,
    move: { readonly nowMs: number; readonly lastSequence: number },
  ): BulkResult {
    const froms = moved.map((task) => fromState(task.position));
    const counts = moveCounts(
      job.counts,
      moved.map((task, number) => [froms[number]!, task.state] as const),
    );
    const ended = TERMINAL_STATES.reduce((sum, state) => sum + counts[state], 0);
    const endedAtMs = ended < job.taskCount ? null : job.endedAtMs;
    const present: JobRecord = { ...job, counts, endedAtMs };
    const transitions = moved.map((task, number) => ({
      sequence: move.lastSequence + 1 + number,
      jobId: task.jobId,
      position: task.position,
      atMs: move.nowMs,
      fromState: froms[number]!,
      toState: task.state,
      attemptNumber: task.attemptNumber,
      reason: task.reason,
    }));
    if (moved.length > 0) {
      this.#database.apply({ ...NO_CHANGE, jobs: [present], tasks: moved, transitions });
    }
    const lastPosition = moved.at(-1)?.position ?? -1;
    return { job: this.#job(job.jobId), movedCount: moved.length, lastPosition };
  }
}
