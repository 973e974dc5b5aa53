import { expect, test } from 'vitest';
import { simulateWorkflows, wrongWithResumed, wrongWithRuns } from './simulate-workflow.ts';

const SEEDS = 60;
const GROUP = 10;
/** They take three times as long. */
const RESUMED_SEEDS = 30;
const groups = Array.from({ length: SEEDS / GROUP }, (_, group) => 1 + group * GROUP);

test.each(groups)(
  'under faults runs end as undisturbed ones, in the seeds from %i',
  async (from) => {
    for (let seed = from; seed < from + GROUP; seed += 1) {
      expect(await wrongWithRuns(seed)).toBeUndefined();
    }
  },
);

test.each(groups.filter((from) => from < RESUMED_SEEDS))(
  'cancelled and resumed changed, only what depends on the change runs again, in the seeds from %i',
  async (from) => {
    for (let seed = from; seed < from + GROUP; seed += 1) {
      expect(await wrongWithResumed(seed)).toBeUndefined();
    }
  },
);

test('the same seed does the same, event for event', async () => {
  const [first, second] = [await simulateWorkflows(7), await simulateWorkflows(7)];
  expect(second.fingerprint).toBe(first.fingerprint);
});

test('crashes within every kind of call of the loop are met in the first seeds', async () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 20; seed += 1) {
    for (const kind of (await simulateWorkflows(seed)).countsByKind.keys()) seen.add(kind);
  }
  const expected = ['server_crash', 'runs.write_fails_before', 'runs.write_fails_after'];
  expect(expected.filter((kind) => !seen.has(`fault.${kind}`))).toEqual([]);
});
