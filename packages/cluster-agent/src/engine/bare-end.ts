import type { AttemptOutcome } from '@majorana/core';
import type { EndedEvent } from '@majorana/protocol';

/** The end of an attempt of which nothing was measured and nothing is stored. */
export const bareEnd = (attemptId: string, outcome: AttemptOutcome, atMs: number): EndedEvent => ({
  kind: 'ended',
  attemptId,
  atMs,
  outcome,
  peakMemoryBytes: 0,
  cpuTimeMs: 0,
  artifacts: [],
});
