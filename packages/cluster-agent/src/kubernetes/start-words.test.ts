import { expect, test } from 'vitest';
import type { KubernetesEvent } from './objects.ts';
import { lastWord } from './start-words.ts';

const event = (at: string, nanos: string, reason: string): KubernetesEvent => ({
  metadata: { name: `majorana-11-0-1.${nanos}` },
  lastTimestamp: `2026-11-24T10:54:${at}Z`,
  reason,
  message: `${reason} it`,
});

test('a start’s last word is its newest event, of one second the one made last', () => {
  const events = [
    event('19', '18a0c2', 'Pulling'),
    event('18', '18a0c1', 'Started'),
    event('19', '18a0c3', 'Failed'),
  ];
  expect(lastWord(events)).toEqual({ text: 'Failed: Failed it' });
});

test('what the kubelet says of every pod is no word on this one', () => {
  const events = [event('15', '1', 'Pulling'), event('19', '2', 'MissingClusterDNS')];
  expect(lastWord(events)).toEqual({ text: 'Pulling: Pulling it' });
  expect(lastWord([])).toBeUndefined();
});
