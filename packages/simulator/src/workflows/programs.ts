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

/** What a step's program writes: it follows from its arguments and inputs, as a program's should. */
export function runProgram(objects: SimulatedObjects, { argv, inputs }: Lease): string {
  const [, what = '', number = '0'] = argv;
  const given = inputs.map(({ path, object }) => `${path} ${object}`).toSorted();
  if (what === 'lines') {
    return Array.from({ length: Number(number) }, (_, line) => `line ${line}\n`).join('');
  }
  if (what === 'add') return String(Number(number) + 1);
  for (const { object } of inputs) objects.textOf(object);
  return JSON.stringify([argv, given]);
}
