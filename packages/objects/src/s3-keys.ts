/**
 * How an object lies in a bucket. Each has a folder, `objects/ab/cd…/`, and in it
 *
 * - `0`, `1`, …: its content, a generation each. Nearly always there is one.
 * - `used-TIME-ID`: when it was put, or put again.
 * - `doomed-GENERATION-ID`: a removal is about to delete the generations up to this one.
 *
 * docs/decisions/0007-s3-objects.md says why.
 */

export interface Generation {
  readonly generation: number;
  readonly sizeBytes: number;
}

export interface Mark {
  readonly key: string;
  readonly kind: 'used' | 'doomed';
  /** When it was used, or what is doomed. */
  readonly value: number;
  readonly writtenAtMs: number;
}

/** One object's folder, as one listing shows it. */
export interface Folder {
  readonly object: string;
  readonly generations: readonly Generation[];
  /** The highest generation that a removal may delete at any moment; -1: none. */
  readonly doomedGeneration: number;
  readonly usedAtMs: number;
  readonly marks: readonly Mark[];
  /** When the youngest key of it was written, by the clock of the server. */
  readonly writtenAtMs: number;
}

export interface ListedKey {
  readonly key: string;
  readonly sizeBytes: number;
  readonly writtenAtMs: number;
}

const OBJECT = /^([0-9a-f]{2})\/([0-9a-f]{62})\/(.*)$/;

export class Keys {
  readonly #prefix: string;

  /** A prefix ends with a slash, or is empty. */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  get objects(): string {
    return `${this.#prefix}objects/`;
  }
  get incoming(): string {
    return `${this.#prefix}incoming/`;
  }
  folder(object: string): string {
    return `${this.objects}${object.slice(0, 2)}/${object.slice(2)}/`;
  }
  generation(object: string, generation: number): string {
    return `${this.folder(object)}${generation}`;
  }
  used(object: string, usedAtMs: number, id: string): string {
    return `${this.folder(object)}used-${usedAtMs}-${id}`;
  }
  doomed(object: string, generation: number, id: string): string {
    return `${this.folder(object)}doomed-${generation}-${id}`;
  }

  objectOf(key: string): string | undefined {
    const [, head, tail] = OBJECT.exec(key.slice(this.objects.length)) ?? [];
    return head === undefined ? undefined : head + tail!;
  }

  /** What the keys of one folder say. */
  read(object: string, keys: readonly ListedKey[]): Folder {
    const generations: Generation[] = [];
    const marks: Mark[] = [];
    const start = this.folder(object).length;
    for (const { key, sizeBytes, writtenAtMs } of keys) {
      const [kind, value] = key.slice(start).split('-');
      if (kind === 'used' || kind === 'doomed') {
        marks.push({ key, kind, value: Number(value), writtenAtMs });
      } else if (/^\d+$/.test(kind!)) generations.push({ generation: Number(kind), sizeBytes });
    }
    const highest = (kind: Mark['kind']): number =>
      Math.max(...marks.filter((mark) => mark.kind === kind).map(({ value }) => value));
    const usedAtMs = highest('used');
    const writtenAtMs = Math.max(...keys.map((one) => one.writtenAtMs));
    return {
      object,
      generations: generations.toSorted((a, b) => a.generation - b.generation),
      marks,
      doomedGeneration: Math.max(-1, highest('doomed')),
      // Content without a mark: somebody has removed the marks by hand.
      usedAtMs: usedAtMs === -Infinity ? writtenAtMs : usedAtMs,
      writtenAtMs,
    };
  }
}

/** A generation that no removal is about to take. */
export const safeGeneration = (folder: Folder): Generation | undefined =>
  folder.generations.find(({ generation }) => generation > folder.doomedGeneration);

/** One that was not there for any removal that is under way. */
export const nextGeneration = (folder: Folder): number =>
  1 + Math.max(folder.doomedGeneration, ...folder.generations.map((one) => one.generation));
