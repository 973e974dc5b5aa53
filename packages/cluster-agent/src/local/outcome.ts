import { constants } from 'node:os';
import type { AttemptOutcome } from '@majorana/core';
import { formatQuantity } from '@majorana/core';
import type { EndedEvent, Lease, StoredArtifact } from '@majorana/protocol';
import type { ExitRecord } from './exit-record.ts';

const signalName = (signal: number): string =>
  Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ??
  `signal ${signal}`;

/** What an exit record means, in the words of the task life-cycle and one sentence. */
export function outcomeOf(exit: ExitRecord, lease: Lease): AttemptOutcome {
  const { exitCode, signal } = exit;
  const how = {
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
  };
  if (exit.error !== undefined)
    return { kind: 'start_error', reason: `could not start: ${exit.error}` };
  if (exit.endedBy === 'cancel')
    return { ...how, kind: 'cancelled', reason: 'cancelled by a user' };
  if (exit.endedBy === 'time_limit') {
    const seconds = lease.timeLimitMs / 1000;
    return { ...how, kind: 'time_limit', reason: `ended at its time limit of ${seconds} s` };
  }
  // A program that lost a child to the limit and still made its way to exit code 0 has succeeded.
  if (exit.endedBy === 'memory' || (exit.isOutOfMemory && exitCode !== 0)) {
    const limit = formatQuantity('memoryBytes', lease.resources.memoryBytes);
    return { ...how, kind: 'out_of_memory', reason: `out of memory: more than its ${limit}` };
  }
  if (signal !== undefined)
    return { ...how, kind: 'signal', reason: `ended by ${signalName(signal)}` };
  if (exitCode !== 0) return { ...how, kind: 'exit_code', reason: `exit code ${exitCode}` };
  const leftover =
    exit.leftoverCount > 0 ? `; ${exit.leftoverCount} processes it left were ended` : '';
  return { ...how, kind: 'succeeded', reason: `exit code 0${leftover}` };
}

export function endedEvent(
  exit: ExitRecord,
  lease: Lease,
  artifacts: readonly StoredArtifact[],
): EndedEvent {
  return {
    kind: 'ended',
    attemptId: lease.attemptId,
    atMs: exit.endedAtMs,
    ...(exit.error === undefined ? { startedAtMs: exit.startedAtMs } : {}),
    outcome: outcomeOf(exit, lease),
    peakMemoryBytes: exit.peakMemoryBytes,
    cpuTimeMs: exit.cpuTimeMs,
    artifacts: [...artifacts],
  };
}
