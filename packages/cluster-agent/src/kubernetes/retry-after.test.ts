import { expect, test } from 'vitest';
import { retryAfterOf } from './retry-after.ts';

const NOW = Date.parse('Tue, 24 Nov 2026 20:00:00 GMT');
const asked = (text: string | undefined, date?: string): number =>
  retryAfterOf({ 'retry-after': text, date }, NOW);

test('a refusal asks for seconds, or for a date by its own clock', () => {
  expect(asked('7')).toBe(7000);
  expect(asked('Tue, 24 Nov 2026 20:00:09 GMT')).toBe(9000);
  const skewed = 'Tue, 24 Nov 2026 19:58:00 GMT';
  expect(asked('Tue, 24 Nov 2026 19:58:30 GMT', skewed)).toBe(30_000);
});

test('what is no time, or over already, asks for nothing, and nobody is waited for without end', () => {
  for (const text of [undefined, '', 'soon', '-3', 'Tue, 24 Nov 2026 19:00:00 GMT'])
    expect(asked(text)).toBe(0);
  for (const text of ['99999999999', 'Tue, 24 Nov 2099 20:00:00 GMT'])
    expect(asked(text)).toBe(300_000);
});
