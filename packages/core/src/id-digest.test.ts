import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IdDigest } from './id-digest.ts';

const ids = fc.uniqueArray(
  fc.tuple(fc.nat(9), fc.nat(300), fc.nat(3)).map(([job, task, n]) => `job_${job}.${task}.${n}`),
);

test('a digest depends on the set, not on the way to it', () => {
  fc.assert(
    fc.property(ids, ids, (kept, passing) => {
      const digest = new IdDigest();
      const others = passing.filter((id) => !kept.includes(id));
      for (const id of others) digest.add(id);
      for (const id of kept) digest.add(id);
      for (const id of others.toReversed()) digest.remove(id);
      expect(digest.toString()).toBe(IdDigest.of(kept.toReversed()).toString());
    }),
  );
});

test('sets that differ have different digests', () => {
  fc.assert(
    fc.property(ids, ids, (one, other) => {
      const isSame = one.length === other.length && one.every((id) => other.includes(id));
      expect(IdDigest.of(one).toString() === IdDigest.of(other).toString()).toBe(isSame);
    }),
  );
});

test('100,000 attempts of one job, each left out once, have as many digests', () => {
  const all = Array.from({ length: 100_000 }, (_, index) => `job_7.${index}.1`);
  const whole = IdDigest.of(all);
  const digests = all.map((id) => {
    const rest = whole.copy();
    rest.remove(id);
    return rest.toString();
  });
  expect(new Set(digests).size).toBe(100_000);
});
