import { readFileSync } from 'node:fs';
import type { Document } from 'yaml';
import { isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { CliError } from '../output.ts';

export interface Place {
  readonly path: readonly (string | number)[];
  readonly what: string;
  /** The name itself is wrong, not what it holds. */
  readonly isKey?: boolean;
}

/** Issues in a person's words; unknown keys each at their own place. */
function placesOf(issue: z.core.$ZodIssue): Place[] {
  const at = issue.path as (string | number)[];
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      path: [...at, key],
      what: `"${key}" is not known here`,
      isKey: true,
    }));
  const { message } = issue;
  if (issue.code === 'invalid_type' && issue.expected === 'string' && !/undefined/.test(message))
    return [{ path: at, what: `${message}; put it in quotes` }];
  return [{ path: at, what: message }];
}

function keyNode(document: Document, at: Place['path']): unknown {
  const parent = at.length === 1 ? document.contents : document.getIn(at.slice(0, -1), true);
  if (!isMap(parent)) return undefined;
  return parent.items.find(({ key }) => isScalar(key) && key.value === at.at(-1))?.key;
}

/** The nearest thing in the file: what is missing has no place, what it is missing from has. */
function offsetOf(document: Document, { path: at, isKey }: Place): number {
  if (isKey === true) {
    const key = keyNode(document, at);
    if (isNode(key) && key.range) return key.range[0];
  }
  for (let length = at.length; length > 0; length -= 1) {
    const node = document.getIn(at.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return 0;
}

/** A YAML file whose mistakes are told all at once, each with its line and column. */
export class YamlFile {
  readonly value: unknown;
  readonly #name: string;
  readonly #lines = new LineCounter();
  readonly #document: Document;

  constructor(name: string, text: string) {
    this.#name = name;
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    if (document.errors.length > 0)
      this.#complain(
        document.errors.map(({ pos, message }) => ({ offset: pos[0], what: message })),
      );
    this.#document = document;
    this.value = document.toJS();
  }

  /** What the schema makes of the content. */
  check<S extends z.ZodType>(schema: S): z.output<S> {
    const checked = schema.safeParse(this.value);
    if (!checked.success) this.refuse(checked.error.issues.flatMap(placesOf));
    return checked.data as z.output<S>;
  }

  refuse(places: readonly Place[]): never {
    return this.#complain(
      places.map((place) => ({
        offset: offsetOf(this.#document, place),
        what: place.path.length === 0 ? place.what : `${place.path.join('.')}: ${place.what}`,
      })),
    );
  }

  #complain(errors: readonly { offset: number; what: string }[]): never {
    const told = errors
      .toSorted((a, b) => a.offset - b.offset)
      .map(({ offset, what }) => {
        const { line, col } = this.#lines.linePos(offset);
        return `${this.#name}:${line}:${col}: ${what}`;
      });
    throw new CliError(told.join('\n'));
  }
}

export const nameOf = (file: string): string => (file === '-' ? 'standard input' : file);

/** `-` is standard input. */
export function readYamlText(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new CliError(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
