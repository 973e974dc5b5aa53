import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Lease } from '@majorana/protocol';

/** Texts by their hash, as an object store has them; it outlives every process. */
export class SimulatedObjects {
  readonly #texts = new Map<string, string>();

  put(text: string): { readonly object: string; readonly sizeBytes: number } {
    const object = createHash('sha256').update(text).digest('hex');
    this.#texts.set(object, text);
    return { object, sizeBytes: text.length };
  }

  async stat(object: string): Promise<{ object: string; sizeBytes: number; usedAtMs: number }> {
    return { object, sizeBytes: this.textOf(object).length, usedAtMs: 0 };
  }

  async read(object: string): Promise<Readable> {
    return Readable.from([Buffer.from(this.textOf(object))]);
  }

  textOf(object: string): string {
    const text = this.#texts.get(object);
    if (text === undefined) throw new Error(`there is no object ${object}`);
    return text;
  }
}

type Ran = Pick<Lease, 'argv' | 'env' | 'inputs'>;

/** All that a program runs on, as one text: the same for the same, whoever asked for it. */
export const executionOf = ({ argv, env, inputs }: Ran): string =>
  JSON.stringify([
    argv,
    Object.entries(env).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    inputs.map(({ path, object }) => `${path} ${object}`).toSorted(),
  ]);

/** A mistake that one of a program's arguments brings to light: its last word names which. */
export const breaks = (argv: readonly string[]): boolean =>
  argv.at(-1) === `broken at ${argv[2] ?? ''}`;

/** What a step's program writes: it follows from its arguments and inputs, as a program's should. */
export function runProgram(
  objects: SimulatedObjects,
  { argv, inputs }: Pick<Lease, 'argv' | 'inputs'>,
): string {
  const [, what = '', number = '0'] = argv;
  const given = inputs.map(({ path, object }) => `${path} ${object}`).toSorted();
  if (what === 'lines') {
    return Array.from({ length: Number(number) }, (_, line) => `line ${line}\n`).join('');
  }
  if (what === 'add') return String(Number(number) + 1);
  for (const { object } of inputs) objects.textOf(object);
  return JSON.stringify([argv, given]);
}
