import type { AttemptOutcome } from '@majorana/core';
import { expect, test } from 'vitest';
import type { HeldPod } from './held-pod.ts';
import { newHeldPod } from './held-pod.ts';
import { readPodEnd } from './pod-end.ts';
import { endWord, testPod } from './test-objects.ts';
import { testLease } from './test-orders.ts';

const ATTEMPT = 'job_1.0.1';
const BY_TERM = endWord(ATTEMPT, { exitCode: undefined, signal: 15, endedBy: 'term' });
const objects = { read: () => Promise.reject(new Error('no object is asked for')) };

async function outcomeOf(
  message: string,
  { cause, ...edit }: Partial<HeldPod> & { readonly cause?: string } = {},
): Promise<AttemptOutcome> {
  const held = { ...newHeldPod(testLease(ATTEMPT)), pod: testPod('p', 'node-7', '1'), ...edit };
  const standing = { kind: 'told', message, isOverScratch: false } as const;
  const told = cause === undefined ? standing : { ...standing, cause };
  return (await readPodEnd(held, told, { objects, nowMs: 3 })).outcome;
}

test('a TERM of nobody’s counts against its task, which can send one in each attempt', async () => {
  expect(await outcomeOf(BY_TERM)).toMatchObject({ kind: 'reclaimed', faultyNode: 'node-7' });
  const early = { version: 1, kind: 'not_started', attemptId: ATTEMPT, reason: 'early' };
  const outcome = await outcomeOf(JSON.stringify(early));
  expect(outcome).toMatchObject({ kind: 'reclaimed', faultyNode: 'node-7' });
  expect(outcome.reason).toContain('its own program can be it');
});

test('a TERM that somebody stands for does not, however often it comes', async () => {
  const evicted = await outcomeOf(BY_TERM, { cause: 'EvictionByEvictionAPI' });
  expect(evicted.kind).toBe('reclaimed');
  expect(evicted.faultyNode).toBeUndefined();
  const cancelled = await outcomeOf(BY_TERM, { isOrdered: true });
  expect(cancelled.kind).toBe('cancelled');
  expect(cancelled.faultyNode).toBeUndefined();
});
