import type { StateCounts, TaskState } from '@majorana/core';
import type { JobSpec, StoredArtifact } from '@majorana/protocol';

export interface JobRecord {
  readonly jobId: number;
  readonly spec: JobSpec;
  readonly taskCount: number;
  /** Tasks at this position and later have no row yet; they are all in `untouchedState`. */
  readonly nextPosition: number;
  readonly untouchedState: TaskState;
  readonly counts: StateCounts;
  readonly submittedAtMs: number;
  readonly endedAtMs: number | null;
}

export interface TaskRecord {
  readonly jobId: number;
  readonly taskIndex: number;
  readonly state: TaskState;
  readonly attemptNumber: number;
  readonly retryCount: number;
  readonly memoryBytes: number;
  readonly notBeforeMs: number;
  readonly agentId: string | null;
  readonly reason: string;
  readonly exitCode: number | null;
}

export interface AttemptRecord {
  readonly jobId: number;
  readonly taskIndex: number;
  readonly attemptNumber: number;
  readonly agentId: string;
  readonly leasedAtMs: number;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly outcome: string | null;
  readonly exitCode: number | null;
  readonly signal: number | null;
  readonly reason: string | null;
  readonly peakMemoryBytes: number | null;
  readonly cpuTimeMs: number | null;
}

export interface TransitionRecord {
  readonly sequence: number;
  readonly jobId: number;
  readonly taskIndex: number;
  readonly atMs: number;
  readonly fromState: TaskState;
  readonly toState: TaskState;
  readonly attemptNumber: number;
  readonly reason: string;
}

export interface ArtifactRecord extends StoredArtifact {
  readonly jobId: number;
  readonly taskIndex: number;
  readonly attemptNumber: number;
}

/** Everything one turn of the engine decided; written in one transaction or not at all. */
export interface Change {
  readonly jobs: readonly JobRecord[];
  readonly tasks: readonly TaskRecord[];
  readonly attempts: readonly AttemptRecord[];
  readonly transitions: readonly TransitionRecord[];
  readonly artifacts: readonly ArtifactRecord[];
}

export interface HotSet {
  readonly jobs: readonly JobRecord[];
  /** Open tasks that have a row, of open jobs. */
  readonly tasks: readonly TaskRecord[];
  readonly attempts: readonly AttemptRecord[];
  readonly lastSequence: number;
}

/** What the engine needs of a store. A rejected commit may or may not have been applied. */
export interface EngineStore {
  load(): Promise<HotSet>;
  commit(change: Change): Promise<void>;
  allocateJobId(): Promise<number>;
  findJobByKey(idempotencyKey: string): Promise<number | undefined>;
  /** A job that has ended and is no longer in the hot set. */
  loadJob(jobId: number): Promise<JobRecord | undefined>;
  /** Terminal tasks of a job in these states, for a retry. */
  loadTasks(jobId: number, states: readonly TaskState[]): Promise<TaskRecord[]>;
  /** Outputs of the last attempts of a job's succeeded tasks. */
  loadOutputs(jobId: number): Promise<ArtifactRecord[]>;
}
