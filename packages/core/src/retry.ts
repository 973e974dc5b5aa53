import type { AttemptOutcome, NextState, OutcomeKind } from './task-state.ts';

export interface RetryPolicy {
  /** Counted new attempts after the first; 0 is none. */
  readonly limit: number;
  /** Kinds that are retried. Empty means every failure. */
  readonly on: readonly OutcomeKind[];
  /** Only these exit codes are retried; empty means all of them. */
  readonly exitCodes: readonly number[];
  /** Only these signals are retried; empty means all of them. */
  readonly signals: readonly number[];
  /** First wait; it doubles with each retry up to `backoffMsMax`. */
  readonly backoffMs: number;
  readonly backoffMsMax: number;
  /** After out-of-memory the next attempt gets this many times the memory, up to `memoryBytesMax`. */
  readonly memoryFactor: number;
  readonly memoryBytesMax: number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  limit: 0,
  on: [],
  exitCodes: [],
  signals: [],
  backoffMs: 1000,
  backoffMsMax: 5 * 60_000,
  memoryFactor: 2,
  memoryBytesMax: 0,
};

export interface RetryDecision {
  readonly next: NextState;
  readonly isCounted: boolean;
  readonly delayMs: number;
  readonly memoryBytes: number;
  readonly reason: string;
}

/**
 * A task that so many nodes broke under, one after the other, is likely what broke them: it goes to
 * no fourth. A node breaks by itself about once in a thousand days, so three are no coincidence.
 */
export const FAULTY_NODES_MAX = 3;
/** On however few nodes: with their cool-downs this many take an hour and more. */
export const NODE_FAULTS_MAX = 10;
/** A program that ran for so long did not break its node by being started. */
const STEADY_RUN_MS = 60 * 60_000;

/** The nodes that broke under a task in a row of its attempts, after one more has ended. */
export function nextNodeFaults(
  faultyNodes: readonly string[],
  outcome: AttemptOutcome,
  ranMs: number,
): readonly string[] {
  if (outcome.faultyNode === undefined)
    return uncounted.has(outcome.kind) && ranMs < STEADY_RUN_MS ? faultyNodes : [];
  return ranMs < STEADY_RUN_MS ? [...faultyNodes, outcome.faultyNode] : [outcome.faultyNode];
}

function poisonOf(faultyNodes: readonly string[]): string | undefined {
  const nodes = new Set(faultyNodes);
  if (nodes.size < FAULTY_NODES_MAX && faultyNodes.length < NODE_FAULTS_MAX) return undefined;
  return `given up, since ${faultyNodes.length} attempts in a row broke on their nodes (${[...nodes].join(', ')})`;
}

const uncounted: ReadonlySet<OutcomeKind> = new Set(['lost', 'preempted', 'reclaimed']);

function isCovered(policy: RetryPolicy, outcome: AttemptOutcome): boolean {
  if (policy.on.length > 0 && !policy.on.includes(outcome.kind)) return false;
  const isIn = (list: readonly number[], value: number | undefined): boolean =>
    list.length === 0 || (value !== undefined && list.includes(value));
  if (outcome.kind === 'exit_code') return isIn(policy.exitCodes, outcome.exitCode);
  if (outcome.kind === 'signal') return isIn(policy.signals, outcome.signal);
  return true;
}

function nextMemoryBytes(
  policy: RetryPolicy,
  outcome: AttemptOutcome,
  memoryBytes: number,
): number {
  if (outcome.kind !== 'out_of_memory' || policy.memoryBytesMax <= memoryBytes) return memoryBytes;
  return Math.min(policy.memoryBytesMax, Math.ceil(memoryBytes * policy.memoryFactor));
}

/**
 * What follows from an attempt's end, checked in this order: success, a user's cancel, causes that
 * are nobody's failure (unless it broke node after node), the kinds and codes the policy covers, the
 * limit. Always says why.
 */
export function decideRetry(
  policy: RetryPolicy,
  outcome: AttemptOutcome,
  task: {
    readonly retryCount: number;
    readonly memoryBytes: number;
    readonly isCancelling: boolean;
    /** As `nextNodeFaults` has them, this attempt's with them. */
    readonly faultyNodes?: readonly string[];
  },
): RetryDecision {
  const { retryCount, memoryBytes, faultyNodes = [] } = task;
  const end = (next: NextState, reason: string): RetryDecision => ({
    next,
    isCounted: false,
    delayMs: 0,
    memoryBytes,
    reason,
  });
  if (outcome.kind === 'succeeded') return end('succeeded', outcome.reason);
  if (outcome.kind === 'cancelled') return end('cancelled', outcome.reason);
  if (task.isCancelling) return end('cancelled', `cancelled by a user: ${outcome.reason}`);
  if (uncounted.has(outcome.kind)) {
    const poison = outcome.faultyNode === undefined ? undefined : poisonOf(faultyNodes);
    if (poison !== undefined) return end('failed', `${poison}: ${outcome.reason}`);
    return end('queued', `requeued, not counted: ${outcome.reason}`);
  }
  if (!isCovered(policy, outcome)) return end('failed', outcome.reason);
  if (retryCount >= policy.limit) {
    return end(
      'failed',
      policy.limit === 0 ? outcome.reason : `${outcome.reason}; ${policy.limit} retries used`,
    );
  }
  return {
    next: 'queued',
    isCounted: true,
    delayMs: Math.min(policy.backoffMsMax, policy.backoffMs * 2 ** retryCount),
    memoryBytes: nextMemoryBytes(policy, outcome, memoryBytes),
    reason: `retry ${retryCount + 1} of ${policy.limit}: ${outcome.reason}`,
  };
}
