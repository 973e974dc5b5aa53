import type { Resources, TaskState } from '@majorana/core';
import { addResources, isHeld, subtractResources } from '@majorana/core';
import type {
  ArtifactRecord,
  AttemptRecord,
  Change,
  HotSet,
  JobRecord,
  TaskRecord,
  TransitionRecord,
} from '@majorana/store';

export interface AgentState {
  readonly agentId: string;
  capacity: Resources;
  free: Resources;
  lastSeenMs: number;
  held: Set<string>;
}

export const taskKey = (jobId: number, taskIndex: number): string => `${jobId}.${taskIndex}`;

/**
 * The hot set: open jobs, their open tasks that have a row, the open attempts, the agents.
 * Records are replaced, never edited; `#dirty…` collects what one turn has to write.
 */
export class EngineState {
  readonly jobs = new Map<number, JobRecord>();
  readonly tasks = new Map<string, TaskRecord>();
  readonly tasksByJob = new Map<number, Map<number, TaskRecord>>();
  readonly attempts = new Map<string, AttemptRecord>();
  readonly agents = new Map<string, AgentState>();
  /** Held tasks that a user cancelled; their agent is told at every sync until they have ended. */
  readonly cancelling = new Set<string>();
  #sequence: number;
  #dirtyJobs = new Set<number>();
  #dirtyTasks = new Map<string, TaskRecord>();
  #dirtyAttempts = new Map<string, AttemptRecord>();
  #transitions: TransitionRecord[] = [];
  #artifacts: ArtifactRecord[] = [];
  #closedJobs: JobRecord[] = [];

  constructor(hot: HotSet) {
    this.#sequence = hot.lastSequence;
    for (const job of hot.jobs) this.jobs.set(job.jobId, job);
    for (const task of hot.tasks) this.#indexTask(task);
    for (const attempt of hot.attempts) {
      this.attempts.set(taskKey(attempt.jobId, attempt.taskIndex), attempt);
    }
  }

  #indexTask(task: TaskRecord): void {
    this.tasks.set(taskKey(task.jobId, task.taskIndex), task);
    let ofJob = this.tasksByJob.get(task.jobId);
    if (ofJob === undefined) this.tasksByJob.set(task.jobId, (ofJob = new Map()));
    ofJob.set(task.taskIndex, task);
  }

  putJob(job: JobRecord): void {
    this.jobs.set(job.jobId, job);
    this.#dirtyJobs.add(job.jobId);
  }

  putAttempt(attempt: AttemptRecord): void {
    const key = taskKey(attempt.jobId, attempt.taskIndex);
    if (attempt.endedAtMs === null) this.attempts.set(key, attempt);
    else this.attempts.delete(key);
    this.#dirtyAttempts.set(`${key}.${attempt.attemptNumber}`, attempt);
  }

  addArtifacts(artifacts: readonly ArtifactRecord[]): void {
    this.#artifacts.push(...artifacts);
  }

  /** Stores the task's new state, moves the job's counts with it, and records why. */
  moveTask(from: TaskState, task: TaskRecord, atMs: number): void {
    const job = this.jobs.get(task.jobId)!;
    this.putJob({
      ...job,
      counts: {
        ...job.counts,
        [from]: job.counts[from] - 1,
        [task.state]: (from === task.state ? job.counts[from] - 1 : job.counts[task.state]) + 1,
      },
    });
    this.#indexTask(task);
    this.#dirtyTasks.set(taskKey(task.jobId, task.taskIndex), task);
    this.#transitions.push({
      sequence: ++this.#sequence,
      jobId: task.jobId,
      taskIndex: task.taskIndex,
      atMs,
      fromState: from,
      toState: task.state,
      attemptNumber: task.attemptNumber,
      reason: task.reason,
    });
    if (isHeld(from) !== isHeld(task.state)) this.#account(task, job);
  }

  #account(task: TaskRecord, job: JobRecord): void {
    const agent = task.agentId === null ? undefined : this.agents.get(task.agentId);
    if (agent === undefined) return;
    const used = { ...job.spec.resources, memoryBytes: task.memoryBytes };
    agent.free = isHeld(task.state)
      ? subtractResources(agent.free, used)
      : addResources(agent.free, used);
  }

  /** What the agent has left when every task it holds is counted. */
  freeOf(agentId: string, capacity: Resources): Resources {
    let free = capacity;
    for (const task of this.tasks.values()) {
      if (task.agentId !== agentId || !isHeld(task.state)) continue;
      const { resources } = this.jobs.get(task.jobId)!.spec;
      free = subtractResources(free, { ...resources, memoryBytes: task.memoryBytes });
    }
    return free;
  }

  forgetTask(task: TaskRecord): void {
    this.tasks.delete(taskKey(task.jobId, task.taskIndex));
    this.tasksByJob.get(task.jobId)?.delete(task.taskIndex);
  }

  closeJob(job: JobRecord): void {
    this.jobs.delete(job.jobId);
    this.tasksByJob.delete(job.jobId);
    this.#dirtyJobs.delete(job.jobId);
    this.#closedJobs.push(job);
  }

  /** The turn's change, or undefined when nothing happened. */
  takeChange(): Change | undefined {
    const change: Change = {
      jobs: [...this.#closedJobs, ...[...this.#dirtyJobs].map((id) => this.jobs.get(id)!)],
      tasks: [...this.#dirtyTasks.values()],
      attempts: [...this.#dirtyAttempts.values()],
      transitions: this.#transitions,
      artifacts: this.#artifacts,
    };
    this.#closedJobs = [];
    this.#dirtyJobs = new Set();
    this.#dirtyTasks = new Map();
    this.#dirtyAttempts = new Map();
    this.#transitions = [];
    this.#artifacts = [];
    const isEmpty = Object.values(change).every((rows: readonly object[]) => rows.length === 0);
    return isEmpty ? undefined : change;
  }
}
