import { countIndexes, indexAt, positionOf } from '@majorana/core';
import type { JobSpec } from '@majorana/protocol';

/** Tasks are kept by position from 0 and shown by the index that the user wrote. */

export const taskCountOf = ({ array }: JobSpec): number =>
  array.kind === 'range' ? countIndexes(array.ranges) : array.recordCount;

export const taskIndexOf = ({ array }: JobSpec, position: number): number =>
  array.kind === 'range' ? indexAt(array.ranges, position)! : position;

/** Undefined when the job has no task of this index. */
export function positionOfIndex({ array }: JobSpec, index: number): number | undefined {
  if (array.kind === 'range') return positionOf(array.ranges, index);
  return index < array.recordCount ? index : undefined;
}
