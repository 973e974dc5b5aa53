import type { Condition } from './definition.ts';

export interface Verdict {
  readonly holds: boolean;
  /** What was found, and what was asked. */
  readonly why: string;
}

const asNumber = (found: string | number): number =>
  typeof found === 'number' ? found : found.trim() === '' ? Number.NaN : Number(found);

const TESTS = {
  equals: (found: string | number, wanted: string | number) => String(found) === String(wanted),
  notEquals: (found: string | number, wanted: string | number) => String(found) !== String(wanted),
  above: (found: string | number, wanted: string | number) => asNumber(found) > Number(wanted),
  below: (found: string | number, wanted: string | number) => asNumber(found) < Number(wanted),
  atLeast: (found: string | number, wanted: string | number) => asNumber(found) >= Number(wanted),
  atMost: (found: string | number, wanted: string | number) => asNumber(found) <= Number(wanted),
} as const;
export const COMPARISONS = Object.keys(TESTS) as (keyof typeof TESTS)[];

const WORDS: Readonly<Record<keyof typeof TESTS, string>> = {
  equals: 'equal to',
  notEquals: 'other than',
  above: 'above',
  below: 'below',
  atLeast: 'at least',
  atMost: 'at most',
};

/** All comparisons of a condition must hold. */
export function judge(condition: Condition, found: string | number): Verdict {
  const what =
    condition.kind === 'value' ? condition.value : `${condition.kind} of ${condition.from}`;
  const asked = COMPARISONS.filter((name) => condition[name] !== undefined);
  const broken = asked.filter((name) => !TESTS[name](found, condition[name]!));
  const told = (broken.length > 0 ? broken : asked).map(
    (name) => `${WORDS[name]} ${condition[name]}`,
  );
  const holds = broken.length === 0;
  return { holds, why: `${what} is ${found}, ${holds ? '' : 'not '}${told.join(' and ')}` };
}

/** RFC 6901; undefined when there is nothing there that a condition can compare. */
export function readPointer(document: unknown, pointer: string): string | number | undefined {
  let value = document;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  if (typeof value === 'string' || typeof value === 'number') return value;
  return typeof value === 'boolean' || value === null ? String(value) : undefined;
}

export const linesOf = (text: string): string[] =>
  text.split(/\r?\n/).filter((line) => line.trim() !== '');
