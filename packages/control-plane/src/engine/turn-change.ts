import type {
  ArtifactRecord,
  AttemptRecord,
  Change,
  ClusterRecord,
  JobRecord,
  QueueRecord,
  TaskRecord,
  TransitionRecord,
} from '@majorana/store';

/** What changed in a turn, for its one transaction: each record as it stands last. */
export class TurnChange {
  readonly jobs = new Map<number, JobRecord>();
  readonly tasks = new Map<string, TaskRecord>();
  readonly attempts = new Map<string, AttemptRecord>();
  readonly queues = new Map<string, QueueRecord>();
  readonly clusters = new Map<string, ClusterRecord>();
  readonly transitions: TransitionRecord[] = [];
  readonly artifacts: ArtifactRecord[] = [];

  /** As the store takes it; undefined when nothing happened. */
  toStore(): Change | undefined {
    const change: Change = {
      jobs: [...this.jobs.values()],
      tasks: [...this.tasks.values()],
      attempts: [...this.attempts.values()],
      transitions: this.transitions,
      artifacts: this.artifacts,
      queues: [...this.queues.values()],
      clusters: [...this.clusters.values()],
    };
    const isEmpty = Object.values(change).every((rows: readonly object[]) => rows.length === 0);
    return isEmpty ? undefined : change;
  }
}
