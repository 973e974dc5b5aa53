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
  /** Who that was, where it is known. */
  readonly cause?: string;
  /** It was put out for the disk space it filled: its own failure, on any machine. */
  readonly isOverScratch?: boolean;
  readonly nowMs: number;
}

const withCause = ({ reason }: { readonly reason: string }, { cause }: EndContext): string =>
  cause === undefined ? reason : `${reason} (${cause})`;

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
      outcome: {
        kind,
        reason: isOrdered ? 'cancelled before it started' : withCause(end, context),
      },
      peakMemoryBytes: 0,
      cpuTimeMs: 0,
      artifacts: [],
    };
  }
  const isTerm = end.exit.endedBy === 'term' && context.isOverScratch !== true;
  const exit = isTerm && isOrdered ? { ...end.exit, endedBy: 'cancel' } : end.exit;
  const event = endedEvent(exit, lease, await artifactsOf(end, objects));
  return {
    ...event,
    outcome: unstored(endedByOthers(event.outcome, isTerm && !isOrdered, context), end),
  };
}

function endedByOthers(
  outcome: AttemptOutcome,
  isReclaimed: boolean,
  { cause, isOverScratch }: EndContext,
): AttemptOutcome {
  const who = cause === undefined ? '' : ` (${cause})`;
  if (isOverScratch === true && outcome.kind !== 'succeeded')
    return { ...outcome, reason: `it filled more scratch than it asked for${who}` };
  if (!isReclaimed) return outcome;
  return { ...outcome, kind: 'reclaimed', reason: `its pod was ended${who}; ${outcome.reason}` };
}

/** Its results are not all there, so it is no success; how the program ended is kept beside that. */
function unstored(
  outcome: AttemptOutcome,
  { unstored: why }: Extract<RunnerEnd, { kind: 'ended' }>,
): AttemptOutcome {
  if (why === undefined) return outcome;
  const kind = outcome.kind === 'succeeded' ? 'exit_code' : outcome.kind;
  return { ...outcome, kind, reason: `${outcome.reason}; its results could not be stored: ${why}` };
}
