import type { AttemptOutcome } from '@majorana/core';
import type { Readable } from 'node:stream';
import type { EndedEvent, Lease, RunnerEnd, StoredArtifact } from '@majorana/protocol';
import { runnerEndSchema, runnerManifestSchema } from '@majorana/protocol';
import { json } from 'node:stream/consumers';
import { endedEvent } from '../local/outcome.ts';

export const parseRunnerEnd = (text: string): RunnerEnd => runnerEndSchema.parse(JSON.parse(text));

/** Where manifests are read: the store itself, or the API in front of it. */
export interface RunnerObjects {
  read(object: string): Promise<Readable>;
}

export interface EndContext {
  readonly lease: Lease;
  readonly objects: RunnerObjects;
  /** Whether the agent itself asked for the end; a TERM from anybody else took the machine away. */
  readonly isOrdered: boolean;
  readonly nowMs: number;
}

async function artifactsOf(
  end: Extract<RunnerEnd, { kind: 'ended' }>,
  objects: RunnerObjects,
): Promise<readonly StoredArtifact[]> {
  if (end.manifest === undefined) return end.artifacts ?? [];
  const manifest = await json(await objects.read(end.manifest.object));
  return runnerManifestSchema.parse(manifest).artifacts;
}

/** What a runner's last word means for its attempt. */
export async function runnerEndedEvent(end: RunnerEnd, context: EndContext): Promise<EndedEvent> {
  const { lease, objects, isOrdered, nowMs } = context;
  if (end.kind !== 'ended') {
    const kind = isOrdered ? 'cancelled' : end.kind === 'fenced' ? 'lost' : 'reclaimed';
    return {
      kind: 'ended',
      attemptId: lease.attemptId,
      atMs: nowMs,
      outcome: { kind, reason: isOrdered ? 'cancelled before it started' : end.reason },
      peakMemoryBytes: 0,
      cpuTimeMs: 0,
      artifacts: [],
    };
  }
  const isTerm = end.exit.endedBy === 'term';
  const exit = isTerm && isOrdered ? { ...end.exit, endedBy: 'cancel' } : end.exit;
  const event = endedEvent(exit, lease, await artifactsOf(end, objects));
  return {
    ...event,
    outcome: unstored(isTerm && !isOrdered ? reclaimed(event) : event.outcome, end),
  };
}

const reclaimed = ({ outcome }: EndedEvent): AttemptOutcome => ({
  ...outcome,
  kind: 'reclaimed',
  reason: `its pod was ended; ${outcome.reason}`,
});

/** Its results are not all there, so it is no success; how the program ended is kept beside that. */
function unstored(
  outcome: AttemptOutcome,
  { unstored: why }: Extract<RunnerEnd, { kind: 'ended' }>,
): AttemptOutcome {
  if (why === undefined) return outcome;
  const kind = outcome.kind === 'succeeded' ? 'exit_code' : outcome.kind;
  return { ...outcome, kind, reason: `${outcome.reason}; its results could not be stored: ${why}` };
}
