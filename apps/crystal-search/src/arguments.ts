import type { parseArgs } from 'node:util';
import { InputError } from './errors.ts';

export const OPTIONS = {
  out: { type: 'string', short: 'o' },
  name: { type: 'string' },
  conformer: { type: 'string' },
  starts: { type: 'string' },
  charges: { type: 'string' },
  optimise: { type: 'boolean' },
  seed: { type: 'string' },
  'per-group': { type: 'string' },
  groups: { type: 'string' },
  first: { type: 'string' },
  potential: { type: 'string' },
  cutoff: { type: 'string' },
  from: { type: 'string' },
  count: { type: 'string' },
  window: { type: 'string' },
  rmsd: { type: 'string' },
  top: { type: 'string' },
  conformers: { type: 'string' },
  'conformer-window': { type: 'string' },
  method: { type: 'string' },
  relax: { type: 'string' },
  checkpoint: { type: 'string' },
  'axis-min': { type: 'string' },
  timing: { type: 'string' },
  spent: { type: 'string', multiple: true },
  price: { type: 'string' },
  experiment: { type: 'string', multiple: true },
  help: { type: 'boolean', short: 'h' },
} as const;

export type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

export function numberOf(values: Values, key: keyof Values, fallback: number, min = 0): number {
  const text = values[key];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isFinite(value) || value < min) throw new InputError(`--${key} ${String(text)}`);
  return value;
}

export function wholeOf(values: Values, key: keyof Values, fallback: number, min = 0): number {
  const value = numberOf(values, key, fallback, min);
  if (!Number.isInteger(value)) throw new InputError(`--${key} ${value}: give a whole number`);
  return value;
}

export function choice<Name extends string>(
  text: string | undefined,
  names: readonly Name[],
  fallback: Name,
): Name {
  const found = names.find((name) => name === (text ?? fallback));
  if (!found) throw new InputError(`${text}: give one of ${names.join(', ')}`);
  return found;
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function need(paths: readonly string[], count: number, stage: string): readonly string[] {
  if (paths.length < count) throw new InputError(`${stage}: ${count} input files are needed`);
  return paths;
}
