import { expect, test } from 'vitest';
import { NO_FAULTS } from './faults.ts';
import { formatReport } from './report.ts';
import { simulate } from './simulation.ts';

const SEEDS = 100;
const GROUP = 10;
const groups = Array.from({ length: SEEDS / GROUP }, (_, group) => 1 + group * GROUP);

test.each(groups)('no invariant breaks in the ten seeds from %i', async (from) => {
  for (let seed = from; seed < from + GROUP; seed += 1) {
    const report = await simulate({ seed });
    expect(report.violation, formatReport(report, {})).toBeUndefined();
    expect(report.runCount).toBeGreaterThan(0);
  }
});

test('ten thousand tasks go through every kind of fault in one run', async () => {
  const size = { taskCount: 10_000, agentCount: 40 };
  const report = await simulate({ seed: 5001, ...size });
  expect(report.violation, formatReport(report, size)).toBeUndefined();
  expect(report.runCount).toBeGreaterThan(5000);
});

test('the same seed does the same, event for event', async () => {
  const [first, second, other] = [
    await simulate({ seed: 77 }),
    await simulate({ seed: 77 }),
    await simulate({ seed: 78 }),
  ];
  expect(second.fingerprint).toBe(first.fingerprint);
  expect(second.stepCount).toBe(first.stepCount);
  expect([...second.countsByKind]).toEqual([...first.countsByKind]);
  expect(other.fingerprint).not.toBe(first.fingerprint);
});

test('without faults every attempt is what its program made of it, and none is lost', async () => {
  const report = await simulate({ seed: 3, faults: NO_FAULTS });
  expect(report.violation, formatReport(report, {})).toBeUndefined();
  const faults = [...report.countsByKind.keys()].filter((kind) => kind.startsWith('fault.'));
  expect(faults).toEqual([]);
});

test('every kind of fault is met somewhere in the first seeds', async () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 20; seed += 1) {
    for (const kind of (await simulate({ seed })).countsByKind.keys()) seen.add(kind);
  }
  const expected = [
    'server_crash',
    'agent_crash',
    'reboot',
    'guard_kill',
    'partition',
    'store_outage',
    'message_lost',
    'message_doubled',
    'message_late',
    'message_cut_off',
    'store.commit_fails_before',
    'store.commit_fails_after',
    'store.load_fails_before',
    'host.start_fails_after',
    'host.collect_fails_before',
  ].map((kind) => `fault.${kind}`);
  expect(expected.filter((kind) => !seen.has(kind))).toEqual([]);
});
