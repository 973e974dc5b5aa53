import type { OutcomeKind, StateCounts, TaskState } from '@majorana/core';
import type { ClusterState, JobSpec, QueueSettings, StoredArtifact } from '@majorana/protocol';

/**
 * A job and its tasks. A task is known by its position from 0; its index is what the user wrote.
 * A task has no row until it is leased, cancelled alone or freed by another array's task. All
 * tasks without a row are in `untouchedState`.
 */
export interface JobRecord {
  readonly jobId: number;
  readonly spec: JobSpec;
  readonly taskCount: number;
  readonly rowCount: number;
  /** Every position below has a row; where the next untouched task is looked for. */
  readonly nextPosition: number;
  readonly untouchedState: TaskState;
  readonly counts: StateCounts;
  readonly submittedAtMs: number;
  /** When the untouched tasks came into their state. */
  readonly untouchedSinceMs: number;
  readonly endedAtMs: number | null;
  /** What its tasks have stored as outputs so far. */
  readonly outputBytes: number;
}

export interface TaskRecord {
  readonly jobId: number;
  readonly position: number;
  readonly state: TaskState;
  readonly attemptNumber: number;
  readonly retryCount: number;
  readonly memoryBytes: number;
  /** Not leased before this: a retry's back-off. */
  readonly notBeforeMs: number;
  /** When it came into this state. */
  readonly sinceMs: number;
  readonly agentId: string | null;
  readonly reason: string;
  readonly exitCode: number | null;
  /** A user cancelled it while an agent held it. */
  readonly isCancelling: boolean;
}

export interface AttemptRecord {
  readonly jobId: number;
  readonly position: number;
  readonly attemptNumber: number;
  readonly agentId: string;
  readonly queuedAtMs: number;
  readonly leasedAtMs: number;
  readonly waitedFor: string;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly outcome: OutcomeKind | null;
  readonly exitCode: number | null;
  readonly signal: number | null;
  readonly reason: string | null;
  readonly peakMemoryBytes: number | null;
  readonly cpuTimeMs: number | null;
}

export interface TransitionRecord {
  /** Grows by one with each transition of the whole store. */
  readonly sequence: number;
  readonly jobId: number;
  readonly position: number;
  readonly atMs: number;
  readonly fromState: TaskState;
  readonly toState: TaskState;
  readonly attemptNumber: number;
  readonly reason: string;
}

export interface ArtifactRecord extends StoredArtifact {
  readonly jobId: number;
  readonly position: number;
  readonly attemptNumber: number;
}

export interface QueueRecord extends QueueSettings {
  readonly name: string;
}

/** What a cluster's administrator decided, and which of its agents acts. */
export interface ClusterRecord {
  readonly name: string;
  readonly state: ClusterState;
  /** When it came into this state. */
  readonly sinceMs: number;
  /** Of a drain: when what still runs is ended. */
  readonly endsAtMs: number | null;
  /** Of the agent that acts; null: of the next that asks. */
  readonly sessionId: string | null;
  /** How long it may be silent before what it holds is run elsewhere. */
  readonly leaseTtlMs: number;
  /** What a gigabyte costs that is brought there from the object store, or back. */
  readonly dataPricePerGb: number;
}

/** Everything one turn of the engine decided; written in one transaction or not at all. */
export interface Change {
  /** Whole records: a new job is inserted, a known one replaced (its spec never changes). */
  readonly jobs: readonly JobRecord[];
  readonly tasks: readonly TaskRecord[];
  readonly attempts: readonly AttemptRecord[];
  readonly transitions: readonly TransitionRecord[];
  readonly artifacts: readonly ArtifactRecord[];
  readonly queues: readonly QueueRecord[];
  readonly clusters: readonly ClusterRecord[];
}

export interface HotSet {
  /** All that have not ended. */
  readonly jobs: readonly JobRecord[];
  /** All held tasks, and of each job at most `queuedMax` queued ones that have a row. */
  readonly tasks: readonly TaskRecord[];
  /** Of held tasks. */
  readonly attempts: readonly AttemptRecord[];
  /** Ended jobs that open ones come after. */
  readonly upstreamJobs: readonly JobRecord[];
  /** Positions at or above `nextPosition` that have a row, by job. */
  readonly rowsAhead: ReadonlyMap<number, readonly number[]>;
  readonly queues: readonly QueueRecord[];
  readonly clusters: readonly ClusterRecord[];
  readonly lastSequence: number;
}

/** Many rows at once, none of which is in the engine's memory. */
export interface BulkMove {
  readonly jobId: number;
  readonly from: readonly TaskState[];
  readonly exitCode?: number | undefined;
  readonly reason?: string | undefined;
  /** One task only. */
  readonly position?: number | undefined;
  readonly to: 'queued' | 'cancelled';
  /** Of the new transitions. */
  readonly because: string;
  readonly nowMs: number;
  /** Their sequences begin after this. */
  readonly lastSequence: number;
  /** Only at or above this position. */
  readonly fromPosition: number;
  /** At most this many rows, the lowest positions first. */
  readonly limit: number;
}

/** Rows for the tasks of an array that waits task by task, from upstream tasks that ended before. */
export interface ElementMove {
  readonly jobId: number;
  readonly upstreamJobId: number;
  readonly on: 'ok' | 'any';
  readonly nowMs: number;
  readonly lastSequence: number;
}

export interface BulkResult {
  /** The job as it is now, counts moved, open again if it had ended. */
  readonly job: JobRecord;
  readonly movedCount: number;
  /** The highest position moved; -1 when nothing was. */
  readonly lastPosition: number;
}

/** What the engine needs of a store. A rejected write may or may not have been applied. */
export interface EngineStore {
  /** Waits until this process is the one writer, and reads what is open. */
  load(queuedMax: number): Promise<HotSet>;
  commit(change: Change): Promise<void>;
  allocateJobId(): Promise<number>;
  findJobByKey(project: string, idempotencyKey: string): Promise<number | undefined>;
  /** A job, ended or not. */
  loadJob(jobId: number): Promise<JobRecord | undefined>;
  /** Queued tasks that have a row, those that may start earliest first. */
  loadQueuedTasks(jobId: number, limit: number): Promise<TaskRecord[]>;
  /** Moves rows and writes their transitions and the job's counts, in one transaction. */
  moveTasks(move: BulkMove): Promise<BulkResult>;
  /** Makes rows: queued where the upstream task ended as asked, cancelled where it cannot any more. */
  moveElements(move: ElementMove): Promise<BulkResult>;
  /** Positions of a job that have a row, at or above one. */
  loadRowsAhead(jobId: number, fromPosition: number): Promise<number[]>;
  /** Outputs of the last attempts of a job's succeeded tasks. */
  loadOutputs(jobId: number): Promise<ArtifactRecord[]>;
  /** The record of named fields at a position of a parameter set. */
  loadFields(parameterSetId: number, position: number): Promise<Record<string, string>>;
}
