import { expect, test } from 'vitest';
import type { KubernetesEvent } from './objects.ts';
import { lastWord } from './start-words.ts';

const event = (at: string, nanos: string, reason: string, type = 'Normal'): KubernetesEvent => ({
  metadata: { name: `majorana-11-0-1.${nanos}` },
  lastTimestamp: `2026-11-24T10:54:${at}Z`,
  reason,
  type,
  message: `${reason} it`,
});

test('a start’s last word is its newest event, of one second the one made last', () => {
  const events = [
    event('19', '18a0c2', 'Pulling'),
    event('18', '18a0c1', 'Started'),
    event('19', '18a0c3', 'Failed', 'Warning'),
  ];
  expect(lastWord(events)).toEqual({
    reason: 'Failed',
    text: 'Failed: Failed it',
    isTrouble: true,
  });
});

test('what the kubelet says of every pod is no word on this one', () => {
  const events = [event('15', '1', 'Pulling'), event('19', '2', 'MissingClusterDNS', 'Warning')];
  expect(lastWord(events)).toMatchObject({ reason: 'Pulling', isTrouble: false });
  expect(lastWord([])).toBeUndefined();
});
