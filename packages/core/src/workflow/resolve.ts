import type { TaskFields } from '../placeholder.ts';
import { elementFields } from './elements.ts';
import { ELEMENT_FILE, isNested, parseReference } from './definition.ts';
import type { Scope } from './scope.ts';
import { begunScopes, elementsOf, innerScope } from './scope.ts';
import { isWellDone } from './spread.ts';
import type { RunSteps } from './state.ts';

/** Which files a reference means, whatever stands between it and them. */
export type Source =
  | { readonly kind: 'input'; readonly name: string; readonly file: string | undefined }
  | {
      readonly kind: 'step';
      readonly path: string;
      readonly isFanOut: boolean;
      readonly file: string | undefined;
    }
  | { readonly kind: 'file'; readonly path: string; readonly object: string }
  /** Of a nested fan-out: what each element that ended well has. */
  | {
      readonly kind: 'spread';
      readonly elements: readonly { readonly position: number; readonly source: Source }[];
    };

/** Paths of the steps whose files a source is. */
export function stepPathsOf(source: Source): string[] {
  if (source.kind === 'step') return [source.path];
  return source.kind === 'spread' ? source.elements.flatMap((one) => stepPathsOf(one.source)) : [];
}

export function resolveFiles(scope: Scope, steps: RunSteps, text: string): Source {
  const { name, file } = parseReference(text);
  if (Object.hasOwn(scope.body.inputs, name)) return resolveInput(scope, steps, name, file);
  const step = scope.body.steps[name];
  if (step === undefined) throw new Error(`${text}: nothing has this name; the check lets it by`);
  const path = scope.prefix + name;
  if (!isNested(step)) return { kind: 'step', path, isFanOut: step.each !== undefined, file };
  const state = steps[path];
  const inner = step.workflow.outputs[file ?? ''];
  if (inner === undefined || state?.status === 'skipped') {
    return { kind: 'step', path, isFanOut: false, file };
  }
  if (step.each !== undefined) {
    const elements = begunScopes({ scope, name, step }, steps)
      .map((inside, position) => ({ inside, position }))
      .filter(({ inside }) => isWellDone(inside, steps))
      .map(({ inside, position }) => ({ position, source: resolveFiles(inside, steps, inner) }));
    return { kind: 'spread', elements };
  }
  const iteration = state !== undefined && 'iteration' in state ? state.iteration : 1;
  return resolveFiles(innerScope(scope, name, step, iteration), steps, inner);
}

function resolveInput(
  scope: Scope,
  steps: RunSteps,
  name: string,
  file: string | undefined,
): Source {
  if (scope.around === undefined) return { kind: 'input', name, file };
  const { scope: outer, step, ordinal, name: stepName } = scope.around;
  const text = step.with[name] ?? '';
  if (text === ELEMENT_FILE) {
    const { file: path = '', fileObject = '' } =
      elementsOf(steps, outer.prefix + stepName)[ordinal] ?? {};
    return { kind: 'file', path, object: fileObject };
  }
  const carried = ordinal > 1 ? step.repeat?.carry[name] : undefined;
  const source =
    carried === undefined
      ? resolveFiles(outer, steps, text)
      : resolveFiles(innerScope(outer, stepName, step, ordinal - 1), steps, carried);
  if (source.kind === 'file' || source.kind === 'spread') return source;
  return file === undefined ? source : { ...source, file };
}

/** Where the text of a value comes from. */
export type ValueSource =
  | { readonly kind: 'input'; readonly name: string }
  /** To be filled with the values of that scope, and the fields of a fan-out's element. */
  | {
      readonly kind: 'text';
      readonly text: string;
      readonly scope: Scope;
      readonly fields: TaskFields;
    }
  | { readonly kind: 'file'; readonly from: string; readonly scope: Scope };

export function resolveValue(scope: Scope, steps: RunSteps, name: string): ValueSource {
  if (scope.around === undefined) return { kind: 'input', name };
  const { scope: outer, step, ordinal, name: stepName } = scope.around;
  const carried = ordinal > 1 ? step.repeat?.carry[name] : undefined;
  if (carried !== undefined) {
    return {
      kind: 'file',
      from: carried,
      scope: innerScope(outer, stepName, step, ordinal - 1),
    };
  }
  const text = step.with[name] ?? step.workflow.inputs[name]?.default ?? '';
  const elements = step.each === undefined ? [] : elementsOf(steps, outer.prefix + stepName);
  const own = elements[ordinal];
  const fields = own === undefined ? {} : elementFields(own, ordinal, elements.length);
  return { kind: 'text', text, scope: outer, fields };
}

/** Names of the values that placeholders of a scope may have. */
export const valueNames = (scope: Scope): string[] =>
  Object.entries(scope.body.inputs)
    .filter(([, input]) => input.kind === 'value')
    .map(([name]) => name);
