/**
 * A workflow as it is checked and kept. Inputs and steps share one space of names. A reference is
 * `NAME` or `NAME/PATH`: a file input, or what a step has stored; PATH may be a glob.
 */
export interface WorkflowBody {
  readonly inputs: Readonly<Record<string, InputDeclaration>>;
  readonly steps: Readonly<Record<string, Step>>;
  /** Name -> reference; what a nested workflow shows to the one around it, and a run to its user. */
  readonly outputs: Readonly<Record<string, string>>;
}
export interface WorkflowDefinition extends WorkflowBody {
  readonly name: string;
}

export interface InputDeclaration {
  /** `value`: text for placeholders; `file`: one file; `files`: any number of them. */
  readonly kind: 'value' | 'file' | 'files';
  readonly default?: string | undefined;
}

export type Step = TaskStep | NestedStep;
export const isNested = (step: Step): step is NestedStep => 'workflow' in step;

interface StepCommon {
  readonly when?: Condition | undefined;
  /** Steps that must have ended well, without anything taken from them. */
  readonly after: readonly string[];
}

export interface TaskStep extends StepCommon {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly each?: Each | undefined;
  readonly inputs: readonly StepInput[];
  /** Field -> reference of a small file whose text fills the placeholder. */
  readonly values: Readonly<Record<string, string>>;
  readonly outputs: readonly string[];
  /** Name -> version of what the program uses and no input holds. */
  readonly tools: Readonly<Record<string, string>>;
  readonly isRepeatable: boolean;
  /** Go on when at least so much of the elements succeeded. */
  readonly successPercentMin: number;
  /** How long a task of it takes, as its writer expects: decides who goes first, and nothing else. */
  readonly predictedMs?: number | undefined;
  /** Of it the image alone can change a result, and is part of the key as it is written. */
  readonly container?: { readonly image: string } | undefined;
  /** Part of the key: sums over ranks are rounded as they are split. */
  readonly gang?: { readonly nodes: number; readonly ranksPerNode: number } | undefined;
  /** Its words are filled as those of the program; no part of the key. */
  readonly checkpoint?: { readonly argv: readonly string[]; readonly timeMs: number } | undefined;
}

export interface NestedStep extends StepCommon {
  readonly workflow: WorkflowBody;
  /** Input of the nested workflow -> text for a value, reference for files. */
  readonly with: Readonly<Record<string, string>>;
  readonly repeat?: Repeat | undefined;
  /** Once for each element, all side by side; the fields of an element are for `with`. */
  readonly each?: Each | undefined;
  /** Go on when at least so much of the elements succeeded. */
  readonly successPercentMin: number;
}
/** In `with`: the file that an element of `each: files` is. */
export const ELEMENT_FILE = '{file}';

export interface Repeat {
  /** On the results of the iteration that has just ended; references are those of the inside. */
  readonly until: Condition;
  readonly iterationsMax: number;
  /** Input of the next iteration -> reference inside the one before. */
  readonly carry: Readonly<Record<string, string>>;
}

export type StepInput =
  | { readonly path: string; readonly object: string }
  /** One file goes to the path; several go below it, those of a fan-out under their index. */
  | { readonly path: string; readonly from: string; readonly isOptional: boolean };

export type Each =
  | { readonly kind: 'values'; readonly values: readonly string[] }
  /** As `--array`: 0-99, 1,3,10-20:2. */
  | { readonly kind: 'range'; readonly range: string }
  | { readonly kind: 'records'; readonly records: readonly Readonly<Record<string, string>>[] }
  /** One element for each line that is not empty, as {line}. */
  | { readonly kind: 'lines'; readonly from: string }
  /** One element for each file, as {file} and {stem}; the file is laid in. */
  | { readonly kind: 'files'; readonly from: string };

interface Comparison {
  readonly equals?: string | number | undefined;
  readonly notEquals?: string | number | undefined;
  readonly above?: number | undefined;
  readonly below?: number | undefined;
  readonly atLeast?: number | undefined;
  readonly atMost?: number | undefined;
}
export type Condition = Comparison &
  (
    | { readonly kind: 'value'; readonly value: string }
    /** The file's text without the white space around it. */
    | { readonly kind: 'text'; readonly from: string }
    /** What a JSON pointer finds in the file. */
    | { readonly kind: 'json'; readonly from: string; readonly pointer: string }
    /** Lines of the file that are not empty. */
    | { readonly kind: 'lines'; readonly from: string }
    /** How many files the reference names. */
    | { readonly kind: 'files'; readonly from: string }
  );

export interface Reference {
  readonly name: string;
  /** Undefined: everything. */
  readonly file: string | undefined;
}

export function parseReference(text: string): Reference {
  const slash = text.indexOf('/');
  return slash < 0
    ? { name: text, file: undefined }
    : { name: text.slice(0, slash), file: text.slice(slash + 1) };
}

export const isPattern = (text: string): boolean => /[*?]/.test(text);

/** `*` and `?` within a name, `**` over folders too. */
export function matchesPattern(pattern: string, path: string): boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll(/\*\*\/?|\*|\?/g, (sign) =>
      sign === '?' ? '[^/]' : sign === '*' ? '[^/]*' : sign === '**' ? '.*' : '(?:.*/)?',
    );
  return new RegExp(`^${source}$`).test(path);
}

/** Fields that the elements of a fan-out have, beside those of every task. */
export function eachFieldNames(each: Each | undefined): string[] {
  switch (each?.kind) {
    case undefined:
      return [];
    case 'values':
    case 'range':
      return ['value'];
    case 'lines':
      return ['line'];
    case 'files':
      return ['file', 'stem'];
    case 'records':
      return Object.keys(each.records[0] ?? {});
  }
}

/** Every reference of a step that it must wait for, in its own scope. */
export function referencesOf(step: Step): string[] {
  const own = isNested(step)
    ? Object.entries(step.with)
        .filter(([name]) => step.workflow.inputs[name]?.kind !== 'value')
        .map(([, from]) => from)
        .filter((from) => from !== ELEMENT_FILE)
    : [
        ...step.inputs.flatMap((input) => ('from' in input ? [input.from] : [])),
        ...Object.values(step.values),
      ];
  const each = step.each !== undefined && 'from' in step.each ? [step.each.from] : [];
  const condition = step.when !== undefined && 'from' in step.when ? [step.when.from] : [];
  return [...own, ...each, ...condition, ...step.after];
}
