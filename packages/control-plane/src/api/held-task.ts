import type { TaskRecord } from '@majorana/store';
import type { Engine } from '../engine/engine.ts';
import { UnavailableError } from '../engine/engine.ts';
import { heldTask, isBeingWritten } from '../engine/reactor.ts';

/** The task of an attempt, while the attempt is its latest and held, by what is on record. */
export function findHeldTask({ state }: Engine, attemptId: string): TaskRecord | undefined {
  const task = heldTask(state, attemptId);
  if (task === undefined && isBeingWritten(state, attemptId)) {
    throw new UnavailableError('a change of this attempt is being stored; ask again');
  }
  return task;
}
