import type { TaskState } from '@majorana/core';
import type { JobSpecInput } from '@majorana/protocol';
import type {
  ArtifactRecord,
  AttemptRecord,
  EngineStore,
  JobRecord,
  TaskRecord,
  TransitionRecord,
} from '../engine-store.ts';

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

/** What each test stands on: a database of its own and one handle, which has loaded. */
export interface StoreGround {
  readonly database: StoreUnderTest;
  readonly store: EngineStore;
  /** A known job under a fresh number, all of whose tasks have a row. */
  readonly addRows: (
    states: readonly TaskState[],
    spec?: Partial<JobSpecInput>,
  ) => Promise<{ job: JobRecord; tasks: TaskRecord[] }>;
}
