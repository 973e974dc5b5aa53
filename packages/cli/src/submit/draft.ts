import type { JobSpecInput } from '@majorana/protocol';

/**
 * A job as a person writes it, on the command line or in a file: a job spec that may also name
 * files of this machine. They become objects and parameter sets when it is submitted.
 */
export type DraftInput =
  | { readonly path: string; readonly object: string }
  /** Relative to the job file; the path in the task's folder is its name unless given. */
  | { readonly file: string; readonly path?: string | undefined }
  /** `NAME@3/PATH` of a dataset; what it means is settled when it is submitted. */
  | { readonly dataset: string; readonly path?: string | undefined };

export type LocalArray =
  /** One task for each line, as {line}. */
  | { readonly kind: 'each'; readonly file: string }
  /** One task for each record of a CSV or JSON-lines file. */
  | { readonly kind: 'params'; readonly file: string }
  /** One task for each file, as {file} and {stem}; the file itself is laid in. */
  | { readonly kind: 'files'; readonly glob: string };

export type SpecArray = NonNullable<JobSpecInput['array']>;
export type DraftArray = SpecArray | LocalArray;

export interface Draft extends Omit<JobSpecInput, 'inputs' | 'array'> {
  readonly inputs?: readonly DraftInput[];
  readonly array?: DraftArray;
}

export const isLocalArray = (array: DraftArray): array is LocalArray =>
  array.kind === 'each' || array.kind === 'params' || array.kind === 'files';
