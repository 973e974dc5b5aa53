import { isKeptPath, keptReason } from '@majorana/core';
import type { AttemptEvent, EndedEvent } from '@majorana/protocol';

/** What each artifact is in a message, beside its path: hash, size and names. */
const ARTIFACT_BYTES = 160;
const EVENT_BYTES = 1000;

/**
 * An end as the control plane takes it. What a program says of itself is not to be trusted: news
 * that is refused is repeated for ever, and holds back all that the agent has to say.
 */
export function keptEvent(event: EndedEvent): EndedEvent {
  const artifacts = event.artifacts.filter(({ path }) => isKeptPath(path));
  const refusedCount = event.artifacts.length - artifacts.length;
  const { kind, reason } = event.outcome;
  if (refusedCount === 0)
    return { ...event, outcome: { ...event.outcome, reason: keptReason(reason) } };
  const why = `${refusedCount} outputs have names that cannot be kept: too long, or no text`;
  const outcome = {
    ...event.outcome,
    // Its results are not all there.
    kind: kind === 'succeeded' ? ('exit_code' as const) : kind,
    reason: keptReason(`${why}; ${reason}`),
  };
  return { ...event, outcome, artifacts };
}

/** About how much of a message an event takes. */
export function eventBytes(event: AttemptEvent): number {
  const artifacts = event.kind === 'ended' ? event.artifacts : [];
  return artifacts.reduce(
    (bytes, { path }) => bytes + ARTIFACT_BYTES + 3 * path.length,
    EVENT_BYTES,
  );
}
