import path from 'node:path';
import { arraySchema, inputSchema, jobSpecSchema } from '@majorana/protocol';
import { z } from 'zod';
import type { Draft, DraftInput } from './draft.ts';
import { nameOf, readYamlText, YamlFile } from './yaml-file.ts';

/** An input names an object that is there, a file of this machine, or files of a dataset. */
const draftInputSchema = inputSchema
  .partial()
  .extend({ file: z.string().min(1).optional(), dataset: z.string().min(1).optional() })
  .superRefine((input, context) => {
    const add = (message: string): void => context.addIssue({ code: 'custom', message });
    const given = [input.file, input.object, input.dataset].filter((one) => one !== undefined);
    if (given.length !== 1)
      add('an input has either "file", a path on this machine, "dataset", or "object"');
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
  const yaml = new YamlFile(file, text);
  yaml.check(draftSchema);
  // As written, not with every default: the server knows its own.
  return fromFolder(path.dirname(path.resolve(file)), yaml.value as Draft);
}

export const readJobFile = (file: string): Draft => parseJobFile(nameOf(file), readYamlText(file));
