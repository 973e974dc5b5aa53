import type { JobSpec } from '@majorana/protocol';
import { jobSpecSchema, storedJobSpecSchema } from '@majorana/protocol';
import { expect, test } from 'vitest';
import { onSubmit } from './reactor.ts';
import { countAhead } from './start-estimate.ts';
import { EngineState } from './state.ts';
import { EMPTY_HOT_SET } from './test-hot-set.ts';

const state = new EngineState(EMPTY_HOT_SET, 0);

/** A job of two tasks. */
function submit(submittedAtMs: number, place?: JobSpec['place']): number {
  const array = { kind: 'range' as const, ranges: [{ from: 0, to: 1, step: 1 }] };
  const spec = storedJobSpecSchema.parse({
    ...jobSpecSchema.parse({ argv: ['true'], array }),
    after: [],
    place,
  });
  const jobId = state.jobs.size + 1;
  return onSubmit(state, { jobId, spec, endedUpstream: [] }, submittedAtMs).jobId;
}

test('tasks that go first are counted by the place that a run’s steps have in line', () => {
  const older = submit(1000);
  const short = submit(5000, { sinceMs: 2000, remainingMs: 10 });
  const younger = submit(3000);
  const long = submit(6000, { sinceMs: 2000, remainingMs: 900 });
  const ahead = (jobId: number, position: number): number =>
    countAhead(state, state.jobs.get(jobId)!, position);
  expect([older, long, short, younger].map((jobId) => ahead(jobId, 0))).toEqual([0, 2, 4, 6]);
  expect(ahead(younger, 1)).toBe(7);
});
