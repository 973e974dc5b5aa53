import type { Resources, Shortage } from '@majorana/core';
import { findShortages, findUnknownPlaceholders, formatQuantity } from '@majorana/core';
import type { JobSpec } from '@majorana/protocol';
import { ProblemError } from './problem.ts';

/** Fields that every task has, beside those of its array. */
export const COMMON_FIELDS = ['index', 'job'] as const;

function fieldNames(spec: JobSpec): Set<string> {
  const names = new Set<string>(COMMON_FIELDS);
  if (spec.array.kind === 'range') return names;
  const [first = {}] = spec.array.records;
  for (const name of Object.keys(first)) names.add(name);
  for (const [position, record] of spec.array.records.entries()) {
    const missing = Object.keys(first).find((name) => !(name in record));
    if (missing === undefined) continue;
    throw new ProblemError(
      422,
      'uneven_fields',
      `record ${position} lacks the field ${missing}, which record 0 has`,
    );
  }
  return names;
}

/** Refuses placeholders that no field answers: better at submission than in 100,000 tasks. */
export function checkPlaceholders(spec: JobSpec): void {
  const names = fieldNames(spec);
  const texts: [string, string][] = [
    ...spec.argv.map((text, position): [string, string] => [`argv.${position}`, text]),
    ...Object.entries(spec.env).map(([name, text]): [string, string] => [`env.${name}`, text]),
    ...spec.outputs.map((text, position): [string, string] => [`outputs.${position}`, text]),
    ...spec.inputs.map((input, position): [string, string] => [
      `inputs.${position}.path`,
      input.path,
    ]),
  ];
  const issues = texts.flatMap(([where, text]) =>
    findUnknownPlaceholders(text, names).map((error) => ({ where, what: error.why })),
  );
  if (issues.length === 0) return;
  throw new ProblemError(
    422,
    'unknown_placeholder',
    issues.map((i) => `${i.where}: ${i.what}`).join('; '),
    issues,
  );
}

const sentence = (shortage: Shortage): string =>
  `${formatQuantity(shortage.resource, shortage.requested)} asked, the largest agent has ` +
  formatQuantity(shortage.resource, shortage.available);

/** Refuses what no agent could ever hold. Without an agent nothing is known, and nothing refused. */
export function checkFits(spec: JobSpec, capacities: readonly Resources[]): void {
  const shortages = capacities.map((capacity) => findShortages(spec.resources, capacity));
  const best = shortages.toSorted((a, b) => a.length - b.length)[0];
  if (best === undefined || best.length === 0) return;
  throw new ProblemError(
    422,
    'never_fits',
    `no agent can run this: ${best.map(sentence).join('; ')}`,
  );
}
