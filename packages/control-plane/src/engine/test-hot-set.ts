import type { HotSet } from '@majorana/store';

/** Of a store that nobody has used yet. */
export const EMPTY_HOT_SET: HotSet = {
  jobs: [],
  tasks: [],
  attempts: [],
  upstreamJobs: [],
  rowsAhead: new Map(),
  queues: [],
  clusters: [],
  lastSequence: 0,
};
