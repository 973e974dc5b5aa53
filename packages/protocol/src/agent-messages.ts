import type { AttemptOutcome, Resources } from '@majorana/core';
import type { JobSpec } from './job-spec.ts';

/**
 * Agents pull, outward only. A sync carries everything the agent has to say and is repeated until
 * it is answered; the answer carries everything the agent should hold. Both are idempotent, so a
 * lost, doubled or late message changes nothing.
 */
export interface Lease {
  /** `job_42.17.2`; its last number is the epoch that fences earlier attempts. */
  readonly attemptId: string;
  readonly spec: JobSpec;
  readonly fields: Readonly<Record<string, string>>;
  readonly resources: Resources;
  readonly inputs: readonly StagedObject[];
}

export interface StagedObject {
  readonly path: string;
  readonly object: string;
}

export interface StoredArtifact extends StagedObject {
  readonly role: 'output' | 'stdout' | 'stderr';
  readonly sizeBytes: number;
}

export type AttemptEvent =
  | { readonly kind: 'starting'; readonly attemptId: string; readonly atMs: number }
  | { readonly kind: 'running'; readonly attemptId: string; readonly atMs: number }
  | {
      readonly kind: 'ended';
      readonly attemptId: string;
      readonly atMs: number;
      readonly outcome: AttemptOutcome;
      readonly peakMemoryBytes: number;
      readonly cpuTimeMs: number;
      readonly artifacts: readonly StoredArtifact[];
    };

export interface AgentSync {
  readonly agentId: string;
  readonly capacity: Resources;
  /** Attempts on this machine that have not been acknowledged as ended. */
  readonly heldAttemptIds: readonly string[];
  readonly events: readonly AttemptEvent[];
  /** How long the server may hold the answer when it has nothing to say. */
  readonly waitMs: number;
}

export interface AgentOrders {
  /** Leases that the agent has not yet confirmed. */
  readonly leases: readonly Lease[];
  /** Attempts to end: cancelled by a user, or fenced by a later epoch. */
  readonly endAttemptIds: readonly string[];
  /** Ended attempts that are on record: the agent may forget them. */
  readonly forgetAttemptIds: readonly string[];
}
