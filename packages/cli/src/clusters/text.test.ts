import type { ClusterView } from '@majorana/protocol';
import { expect, test } from 'vitest';
import { clusterPage, clustersTable, leaseSentence } from './text.ts';

const MINUTE = 60_000;
const NOW_MS = Date.UTC(2026, 10, 24, 12);

const heard: ClusterView = {
  name: 'lab',
  state: 'active',
  sinceMs: 0,
  endsAtMs: null,
  leaseTtlMs: 90 * MINUTE,
  corePricePerHour: 0.02,
  dataPricePerGb: 0.09,
  isConnected: true,
  lastSeenMs: NOW_MS - 2000,
  heldCount: 7,
  leasesEndAtMs: null,
  report: null,
  reportedAtMs: null,
};
const silent: ClusterView = {
  ...heard,
  isConnected: false,
  lastSeenMs: NOW_MS - 12 * MINUTE,
  leasesEndAtMs: NOW_MS + 78 * MINUTE,
};

test.each([
  [90 * MINUTE, '90 min'],
  [MINUTE, '60 s'],
  [360 * MINUTE, '6 h'],
  [7 * 1440 * MINUTE, '7 d'],
])('a cluster that is heard says after how long its tasks would run elsewhere: %i ms', (ms, is) => {
  const sentence = `when its agent is silent for ${is}, its tasks run elsewhere`;
  expect(leaseSentence({ ...heard, leaseTtlMs: ms }, NOW_MS)).toBe(sentence);
});

test('a silent one says since when, and until when its leases are kept', () => {
  const page = clusterPage(silent, NOW_MS);
  expect(page).toContain('lab is not heard; it holds 7 tasks');
  expect(page).toContain(
    'its agent has been silent for 12 min; its leases are kept until 2026-11-24T13:18:00.000Z, 78 min more',
  );
  expect(clustersTable([silent], NOW_MS)).toContain('silent, leases kept for 78 min');
});

test('in the list a drain and a silence are both seen', () => {
  const draining = { ...silent, state: 'draining' as const, leasesEndAtMs: null };
  expect(clustersTable([draining], NOW_MS)).toContain('draining, silent ');
  const fresh = { ...silent, lastSeenMs: null };
  expect(clustersTable([fresh], NOW_MS)).toContain('no agent, leases kept for 78 min');
  expect(clustersTable([heard], NOW_MS)).toContain('active');
});
