import { expect, test } from 'vitest';
import { UnavailableError } from '../engine/engine.ts';
import { isPassing, Troubles } from './troubles.ts';

const passing = [
  new UnavailableError('the engine is loading; ask again'),
  Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }),
  Object.assign(new Error('shut down'), { code: '57P01' }),
  new Error('Connection terminated unexpectedly'),
];

test('what is no outage is tried less and less often, shown meanwhile, and given up', () => {
  const troubles = new Troubles();
  const error = Object.assign(new Error('value too long'), { code: '22001' });
  const delays: number[] = [];
  for (let tries = 1; tries <= 8; tries += 1) {
    const verdict = troubles.add('work', error);
    if (verdict.kind === 'again') delays.push(verdict.afterMs);
    expect(troubles.of('work')).toContain(`tried ${tries} times`);
  }
  expect(delays).toEqual([250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000]);
  const reason = 'given up after 9 tries: value too long';
  expect(troubles.add('work', error)).toEqual({ kind: 'give_up', reason });
  expect(troubles.of('work')).toBeUndefined();
});

test('tries during an outage are none of those after which it is given up', () => {
  const troubles = new Troubles();
  for (let tries = 1; tries <= 20; tries += 1) troubles.add('work', passing[0]!);
  for (let tries = 1; tries <= 8; tries += 1) {
    expect(troubles.add('work', new Error('no')).kind).toBe('again');
    expect(troubles.add('work', passing[0]!).kind).toBe('again');
  }
  const reason = 'given up after 9 tries: no';
  expect(troubles.add('work', new Error('no'))).toEqual({ kind: 'give_up', reason });
});

test.each(passing)('an outage is waited for without end: %s', (error) => {
  expect(isPassing(error)).toBe(true);
  const troubles = new Troubles();
  for (let tries = 1; tries <= 50; tries += 1) {
    expect(troubles.add('work', error).kind).toBe('again');
  }
});
