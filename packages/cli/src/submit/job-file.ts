import { readFileSync } from 'node:fs';
import path from 'node:path';
import { arraySchema, inputSchema, jobSpecSchema } from '@majorana/protocol';
import type { Document } from 'yaml';
import { isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { CliError } from '../output.ts';
import type { Draft, DraftInput } from './draft.ts';

/** An input names an object that is there, or a file of this machine. */
const draftInputSchema = inputSchema
  .partial()
  .extend({ file: z.string().min(1).optional() })
  .superRefine((input, context) => {
    const add = (message: string): void => context.addIssue({ code: 'custom', message });
    if ((input.file === undefined) === (input.object === undefined))
      add('an input has either "file", a path on this machine, or "object"');
    else if (input.object !== undefined && input.path === undefined)
      add('"path" is missing: where the object goes in the working directory');
  });

const local = { file: z.string().min(1) };
const draftArraySchema = z.discriminatedUnion('kind', [
  ...arraySchema.options,
  z.strictObject({ kind: z.literal('each'), ...local }),
  z.strictObject({ kind: z.literal('params'), ...local }),
  z.strictObject({ kind: z.literal('files'), glob: z.string().min(1) }),
]);

export const draftSchema = jobSpecSchema.extend({
  array: draftArraySchema.optional(),
  inputs: z.array(draftInputSchema).max(10_000).optional(),
});

interface Place {
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

function fromFolder(folder: string, draft: Draft): Draft {
  const resolve = (file: string): string => (file === '-' ? file : path.resolve(folder, file));
  const { inputs, array } = draft;
  const resolveInput = (input: DraftInput): DraftInput =>
    'file' in input && input.file !== undefined ? { ...input, file: resolve(input.file) } : input;
  return {
    ...draft,
    ...(inputs === undefined ? {} : { inputs: inputs.map(resolveInput) }),
    ...(array?.kind === 'each' || array?.kind === 'params'
      ? { array: { ...array, file: resolve(array.file) } }
      : {}),
    ...(array?.kind === 'files' && !path.isAbsolute(array.glob)
      ? { array: { ...array, glob: path.join(folder, array.glob) } }
      : {}),
  };
}

/** The text of a job file as a draft, or an error that names every mistake by line and column. */
export function parseJobFile(file: string, text: string): Draft {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const complain = (errors: readonly { offset: number; what: string }[]): never => {
    const told = errors
      .toSorted((a, b) => a.offset - b.offset)
      .map(({ offset, what }) => {
        const { line, col } = lines.linePos(offset);
        return `${file}:${line}:${col}: ${what}`;
      });
    throw new CliError(told.join('\n'));
  };
  if (document.errors.length > 0)
    complain(document.errors.map(({ pos, message }) => ({ offset: pos[0], what: message })));
  const value: unknown = document.toJS();
  const checked = draftSchema.safeParse(value);
  if (!checked.success) {
    complain(
      checked.error.issues.flatMap(placesOf).map((place) => ({
        offset: offsetOf(document, place),
        what: place.path.length === 0 ? place.what : `${place.path.join('.')}: ${place.what}`,
      })),
    );
  }
  // As written, not with every default: the server knows its own.
  return fromFolder(path.dirname(path.resolve(file)), value as Draft);
}

export function readJobFile(file: string): Draft {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new CliError(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  return parseJobFile(file === '-' ? 'standard input' : file, text);
}
