import type { Refusal, Resources, StateCounts, TaskState } from '@majorana/core';
import {
  addResources,
  formatAttemptId,
  isHeld,
  isTerminal,
  NO_RESOURCES,
  subtractResources,
} from '@majorana/core';
import type {
  ArtifactRecord,
  AttemptRecord,
  Change,
  ClusterRecord,
  HotSet,
  JobRecord,
  QueueRecord,
  TaskRecord,
} from '@majorana/store';
import { AgentState } from './agent-state.ts';
import { FullShapes } from './full-shapes.ts';
import { taskIndexOf } from './indexes.ts';
import { ENGINE_LIMITS } from './limits.ts';
import type { EngineLimits } from './limits.ts';
import { NodeFaults } from './node-faults.ts';
import type { ChosenShapes } from './shapes.ts';
import { askedFor, NOTHING_WAITS } from './shapes.ts';
import type { HeldTime } from './start-estimate.ts';
import { TurnChange } from './turn-change.ts';

export const taskKey = (jobId: number, position: number): string => `${jobId}.${position}`;

export const untouchedCount = (job: JobRecord): number => job.taskCount - job.rowCount;

export const DEFAULT_QUEUE: Omit<QueueRecord, 'name'> = { weight: 1, isPaused: false };

const NOTHING_HELD = { count: 0, resources: NO_RESOURCES };

/**
 * The hot set: open jobs, their held tasks and a window of their queued ones, the held attempts,
 * the agents. Records are replaced, never edited; what changed in a turn is collected for its one
 * transaction.
 *
 * Invariants, checked by the simulator after every step:
 *  1. counts of a job add up to taskCount, and rowCount + untouched = taskCount.
 *  2. an agent's `leased` is exactly the held tasks whose agentId it is.
 *  3. an agent's free resources = capacity - what its leased tasks ask.
 *  4. `windows` hold only queued tasks, each of which is in `tasks` too.
 */
export class EngineState {
  readonly jobs = new Map<number, JobRecord>();
  readonly tasks = new Map<string, TaskRecord>();
  /** Queued tasks with a row, by job. */
  readonly windows = new Map<number, Map<number, TaskRecord>>();
  readonly attempts = new Map<string, AttemptRecord>();
  readonly nodeFaults = new NodeFaults();
  /** Those that were heard and whose leases are not over, silent ones with them. */
  readonly agents = new Map<string, AgentState>();
  readonly queues = new Map<string, QueueRecord>();
  readonly clusters = new Map<string, ClusterRecord>();
  /** When each cluster's acting agent was last heard. */
  readonly sessionSeenMs = new Map<string, number>();
  /** Held tasks by job, for limits and cancels. */
  readonly heldByJob = new Map<number, Set<number>>();
  /** Positions at or above a job's nextPosition that have a row. */
  readonly rowsAhead = new Map<number, Set<number>>();
  /** Ended jobs that open ones come after. */
  readonly endedUpstream = new Map<number, JobRecord>();
  /** By upstream job: the open jobs that come after it. */
  readonly dependents = new Map<number, Set<number>>();
  /** Open jobs by `project/key`. */
  readonly jobIdByKey = new Map<string, number>();
  /** What each queue's held tasks ask together. */
  readonly heldByQueue = new Map<string, { count: number; resources: Resources }>();
  /** Agents for which there may be something new to say. */
  readonly agentsToWake = new Set<string>();
  /** Why each job's next task was not leased in the last round. */
  waitReasons: ReadonlyMap<number, Refusal> = new Map();
  /** What waits for room in clusters, as of the last round. */
  waiting: ChosenShapes = NOTHING_WAITS;
  /** Since when clusters have been asked for each of those. */
  askedSinceMs: ReadonlyMap<string, number> = new Map();
  /** When clusters last said that they have no room, of shapes that wait still. */
  readonly refusedAtMs = new Map<string, number>();
  /** Those of which no node has room for one. */
  readonly fullShapes = new FullShapes();
  /** Jobs whose queued rows are being moved in the store, with how many moves are under way. */
  readonly #frozen = new Map<number, number>();
  readonly limits: EngineLimits;
  readonly loadedAtMs: number;
  /** Mean run time of a job's latest tasks; known once one has ended under this engine. */
  readonly meanRunMs = new Map<number, number>();
  /** How long agents hold a job's tasks; known once one has ended under this engine. */
  readonly heldTimes = new Map<number, HeldTime>();
  lastSequence: number;
  /** When the next back-off of a task in memory is over, as of the last round. */
  nextReadyMs = Infinity;
  #unwritten = new Set<string>();
  #turn = new TurnChange();

  constructor(hot: HotSet, loadedAtMs: number, limits: EngineLimits = ENGINE_LIMITS) {
    this.limits = limits;
    this.loadedAtMs = loadedAtMs;
    this.lastSequence = hot.lastSequence;
    for (const queue of hot.queues) this.queues.set(queue.name, queue);
    for (const cluster of hot.clusters) this.clusters.set(cluster.name, cluster);
    for (const job of hot.upstreamJobs) this.endedUpstream.set(job.jobId, job);
    for (const job of hot.jobs) this.#indexJob(job);
    for (const [jobId, positions] of hot.rowsAhead) this.rowsAhead.set(jobId, new Set(positions));
    for (const task of hot.tasks) {
      this.#indexTask(task);
      if (isHeld(task.state)) this.#hold(task, 1);
    }
    for (const attempt of hot.attempts) {
      this.attempts.set(taskKey(attempt.jobId, attempt.position), attempt);
    }
  }

  queueOf(name: string): QueueRecord {
    return this.queues.get(name) ?? { name, ...DEFAULT_QUEUE };
  }

  putQueue(queue: QueueRecord): void {
    this.queues.set(queue.name, queue);
    this.#turn.queues.set(queue.name, queue);
  }

  putCluster(cluster: ClusterRecord): void {
    this.clusters.set(cluster.name, cluster);
    this.#turn.clusters.set(cluster.name, cluster);
  }

  #indexJob(job: JobRecord): void {
    this.jobs.set(job.jobId, job);
    const { idempotencyKey, project, after } = job.spec;
    if (idempotencyKey !== undefined) {
      this.jobIdByKey.set(`${project}/${idempotencyKey}`, job.jobId);
    }
    for (const { jobId } of after) {
      const waiting = this.dependents.get(jobId) ?? new Set();
      this.dependents.set(jobId, waiting.add(job.jobId));
    }
  }

  addJob(job: JobRecord): void {
    this.#indexJob(job);
    this.#turn.jobs.set(job.jobId, job);
  }

  /** A job as the store has just written it. */
  adoptJob(job: JobRecord): void {
    this.endedUpstream.delete(job.jobId);
    this.#indexJob(job);
  }

  putJob(job: JobRecord): void {
    this.jobs.set(job.jobId, job);
    this.#turn.jobs.set(job.jobId, job);
  }

  #indexTask(task: TaskRecord): void {
    const key = taskKey(task.jobId, task.position);
    const window = this.windows.get(task.jobId);
    const held = this.heldByJob.get(task.jobId);
    if (task.state === 'queued') {
      held?.delete(task.position);
      if ((window?.size ?? 0) >= this.limits.queuedWindowMax) {
        this.tasks.delete(key);
        return;
      }
      this.tasks.set(key, task);
      if (window === undefined) this.windows.set(task.jobId, new Map([[task.position, task]]));
      else window.set(task.position, task);
      return;
    }
    window?.delete(task.position);
    if (isHeld(task.state)) {
      this.tasks.set(key, task);
      if (held === undefined) this.heldByJob.set(task.jobId, new Set([task.position]));
      else held.add(task.position);
      return;
    }
    held?.delete(task.position);
    this.tasks.delete(key);
  }

  /** Queued tasks read from the store; those in memory are newer. */
  addQueued(tasks: readonly TaskRecord[]): void {
    for (const task of tasks) {
      if (!this.tasks.has(taskKey(task.jobId, task.position))) this.#indexTask(task);
    }
  }

  putAttempt(attempt: AttemptRecord): void {
    const key = taskKey(attempt.jobId, attempt.position);
    if (attempt.endedAtMs === null) this.attempts.set(key, attempt);
    else this.attempts.delete(key);
    this.#turn.attempts.set(`${key}.${attempt.attemptNumber}`, attempt);
  }

  addArtifacts(artifacts: readonly ArtifactRecord[]): void {
    this.#turn.artifacts.push(...artifacts);
  }

  /** Stores a task's new state, moves its job's counts and its agent's room with it, and records why. */
  moveTask(before: TaskRecord, task: TaskRecord, atMs: number): void {
    const job = this.jobs.get(task.jobId)!;
    const counts: Record<TaskState, number> = { ...job.counts };
    counts[before.state] -= 1;
    counts[task.state] += 1;
    this.putJob({ ...job, counts });
    this.#release(before);
    this.#indexTask(task);
    this.#account(task);
    if (isHeld(before.state)) this.#hold(before, -1);
    if (isHeld(task.state)) this.#hold(task, 1);
    this.#turn.tasks.set(taskKey(task.jobId, task.position), task);
    this.#unwritten.add(taskKey(task.jobId, task.position));
    this.#turn.transitions.push({
      sequence: (this.lastSequence += 1),
      jobId: task.jobId,
      position: task.position,
      atMs,
      fromState: before.state,
      toState: task.state,
      attemptNumber: task.attemptNumber,
      reason: task.reason,
    });
  }

  /** A change of a task that is no change of its state. */
  markTask(task: TaskRecord): void {
    this.#indexTask(task);
    this.#account(task);
    this.#turn.tasks.set(taskKey(task.jobId, task.position), task);
    this.#unwritten.add(taskKey(task.jobId, task.position));
  }

  /** The record of a task that had no row until now. */
  touch(job: JobRecord, position: number): TaskRecord {
    const ahead = this.rowsAhead.get(job.jobId) ?? new Set();
    this.rowsAhead.set(job.jobId, ahead.add(position));
    let { nextPosition } = job;
    while (ahead.delete(nextPosition)) nextPosition += 1;
    this.putJob({ ...job, rowCount: job.rowCount + 1, nextPosition });
    return {
      jobId: job.jobId,
      position,
      state: job.untouchedState,
      attemptNumber: 0,
      retryCount: 0,
      memoryBytes: job.spec.resources.memoryBytes,
      notBeforeMs: 0,
      sinceMs: job.untouchedSinceMs,
      agentId: null,
      reason: '',
      exitCode: null,
      isCancelling: false,
    };
  }

  hasRow(job: JobRecord, position: number): boolean {
    return position < job.nextPosition || (this.rowsAhead.get(job.jobId)?.has(position) ?? false);
  }

  /** None of the job's queued rows is read or leased until the answer is called. */
  freeze(jobId: number): () => void {
    this.#frozen.set(jobId, (this.#frozen.get(jobId) ?? 0) + 1);
    return () => {
      const left = this.#frozen.get(jobId)! - 1;
      if (left > 0) this.#frozen.set(jobId, left);
      else this.#frozen.delete(jobId);
    };
  }

  isFrozen(jobId: number): boolean {
    return this.#frozen.has(jobId);
  }

  /** Moves all tasks without a row at once. */
  moveUntouched(job: JobRecord, to: TaskState, nowMs: number): void {
    const count = untouchedCount(job);
    const counts: Record<TaskState, number> = { ...job.counts };
    counts[job.untouchedState] -= count;
    counts[to] += count;
    this.putJob({ ...job, counts, untouchedState: to, untouchedSinceMs: nowMs });
  }

  askedBy(task: TaskRecord): Resources {
    return askedFor(this.jobs.get(task.jobId)!.spec, task.memoryBytes);
  }

  #hold(task: TaskRecord, sign: 1 | -1): void {
    const { queue } = this.jobs.get(task.jobId)!.spec;
    const { count, resources } = this.heldByQueue.get(queue) ?? NOTHING_HELD;
    const change = sign === 1 ? addResources : subtractResources;
    this.heldByQueue.set(queue, {
      count: count + sign,
      resources: change(resources, this.askedBy(task)),
    });
  }

  attemptIdOf({ jobId, position, attemptNumber }: TaskRecord): string {
    const { spec } = this.jobs.get(jobId)!;
    return formatAttemptId({ jobId, taskIndex: taskIndexOf(spec, position), attemptNumber });
  }

  #release(task: TaskRecord): void {
    const agent = task.agentId === null ? undefined : this.agents.get(task.agentId);
    if (agent === undefined || !isHeld(task.state)) return;
    const key = taskKey(task.jobId, task.position);
    agent.release(key, this.attemptIdOf(task), this.askedBy(task));
  }

  #account(task: TaskRecord): void {
    const agent = task.agentId === null ? undefined : this.agents.get(task.agentId);
    if (agent === undefined || !isHeld(task.state)) return;
    this.agentsToWake.add(agent.agentId);
    const key = taskKey(task.jobId, task.position);
    agent.lease(key, this.attemptIdOf(task), this.askedBy(task));
    if (task.isCancelling) agent.cancelling.add(key);
  }

  /** An agent seen for the first time since the engine was loaded, with what is leased to it. */
  addAgent(agentId: string, capacity: Resources, nowMs: number): AgentState {
    const agent = new AgentState(agentId, capacity, nowMs);
    this.agents.set(agentId, agent);
    for (const task of this.tasks.values()) {
      if (task.agentId === agentId) this.#account(task);
    }
    return agent;
  }

  closeJob(job: JobRecord): void {
    this.jobs.delete(job.jobId);
    this.windows.delete(job.jobId);
    this.heldByJob.delete(job.jobId);
    this.rowsAhead.delete(job.jobId);
    this.meanRunMs.delete(job.jobId);
    this.heldTimes.delete(job.jobId);
    this.nodeFaults.forgetJob(job.jobId);
    if (job.spec.idempotencyKey !== undefined) {
      this.jobIdByKey.delete(`${job.spec.project}/${job.spec.idempotencyKey}`);
    }
    this.#turn.jobs.set(job.jobId, job);
    for (const { jobId } of job.spec.after) {
      const waiting = this.dependents.get(jobId);
      waiting?.delete(job.jobId);
      if (waiting?.size !== 0) continue;
      this.dependents.delete(jobId);
      this.endedUpstream.delete(jobId);
    }
    if (this.dependents.has(job.jobId)) this.endedUpstream.set(job.jobId, job);
  }

  /** Positions as the store has them; the cursor moves past what has rows already. */
  setRowsAhead(jobId: number, positions: readonly number[]): void {
    const job = this.jobs.get(jobId)!;
    const ahead = new Set(positions);
    let { nextPosition } = job;
    while (ahead.delete(nextPosition)) nextPosition += 1;
    this.rowsAhead.set(jobId, ahead);
    if (nextPosition !== job.nextPosition) this.putJob({ ...job, nextPosition });
  }

  takeAgentsToWake(): string[] {
    const agents = [...this.agentsToWake];
    this.agentsToWake.clear();
    return agents;
  }

  /** Whether a task's last step is on record: nobody is told of one that is not. */
  isWritten(jobId: number, position: number): boolean {
    return !this.#unwritten.has(taskKey(jobId, position));
  }

  markWritten(): void {
    this.#unwritten.clear();
  }

  /** Jobs that changed in this turn and are open. */
  get changedJobIds(): number[] {
    return [...this.#turn.jobs.keys()].filter((jobId) => this.jobs.has(jobId));
  }

  /** The turn's change, or undefined when nothing happened. */
  takeChange(): Change | undefined {
    const change = this.#turn.toStore();
    this.#turn = new TurnChange();
    return change;
  }
}

export const terminalCount = (counts: StateCounts): number =>
  Object.entries(counts).reduce(
    (sum, [state, count]) => sum + (isTerminal(state as TaskState) ? count : 0),
    0,
  );
