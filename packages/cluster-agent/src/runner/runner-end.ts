import type { AttemptOutcome } from '@majorana/core';
import type { Readable } from 'node:stream';
import type { EndedEvent, Lease, RunnerEnd, StoredArtifact } from '@majorana/protocol';
import { MANIFEST_BYTES_MAX, runnerEndSchema, runnerManifestSchema } from '@majorana/protocol';
import { bareEnd } from '../engine/bare-end.ts';
import { endedEvent } from '../local/outcome.ts';

/** Undefined when it is not of a runner: its program can write over it. */
export function parseRunnerEnd(text: string): RunnerEnd | undefined {
  try {
    return runnerEndSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

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
  return runnerManifestSchema.parse(await readManifest(await objects.read(end.manifest.object)))
    .artifacts;
}

/** A program can name any object of its own as its list: one of 50 GB must not end the agent. */
async function readManifest(content: Readable): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of content) {
    bytes += (chunk as Buffer).length;
    if (bytes > MANIFEST_BYTES_MAX) throw new Error('the list of its outputs is too long');
    chunks.push(chunk as Buffer);
  }
  return JSON.parse(Buffer.concat(chunks).toString());
}

/** What a runner's last word means for its attempt. */
export async function runnerEndedEvent(end: RunnerEnd, context: EndContext): Promise<EndedEvent> {
  const { lease, objects, isOrdered, nowMs } = context;
  if (end.kind !== 'ended') {
    const kind = isOrdered ? 'cancelled' : end.kind === 'fenced' ? 'lost' : 'reclaimed';
    const reason = isOrdered ? 'cancelled before it started' : withCause(end, context);
    return bareEnd(lease.attemptId, { kind, reason }, nowMs);
  }
  const isTerm = end.exit.endedBy === 'term' && context.isOverScratch !== true;
  const exit = isTerm && isOrdered ? { ...end.exit, endedBy: 'cancel' } : end.exit;
  const event = endedEvent(exit, lease, await artifactsOf(end, objects));
  return {
    ...event,
    outcome: unstored(endedByOthers(event.outcome, isTerm && !isOrdered, context), end, context),
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

/**
 * Its results are not all there, so it is no success; how the program ended is kept beside that. One
 * whose pod was taken away meanwhile is no failure of its own either.
 */
function unstored(
  outcome: AttemptOutcome,
  { unstored: why, isCutOff }: Extract<RunnerEnd, { kind: 'ended' }>,
  context: EndContext,
): AttemptOutcome {
  if (why === undefined) return outcome;
  const words = isCutOff === true ? withCause({ reason: why }, context) : why;
  const reason = `${outcome.reason}; its results could not be stored: ${words}`;
  if (outcome.kind !== 'succeeded') return { ...outcome, reason };
  return { ...outcome, kind: isCutOff === true ? 'reclaimed' : 'exit_code', reason };
}
