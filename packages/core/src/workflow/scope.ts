import type { NestedStep, Step, WorkflowBody, WorkflowDefinition } from './definition.ts';
import { isNested, parseReference } from './definition.ts';
import type { RunSteps } from './state.ts';

/** Where names are looked up: the workflow itself, or one iteration of a nested one. */
export interface Scope {
  readonly body: WorkflowBody;
  /** Before the names of its steps: empty, `sub.`, `rounds[2].`, `rounds[2].sub.` */
  readonly prefix: string;
  readonly around?: Located & { readonly step: NestedStep; readonly iteration: number };
}

export const rootScope = (definition: WorkflowDefinition): Scope => ({
  body: definition,
  prefix: '',
});

export function innerScope(scope: Scope, name: string, step: NestedStep, iteration: number): Scope {
  const at = step.repeat === undefined ? name : `${name}[${iteration}]`;
  return {
    body: step.workflow,
    prefix: `${scope.prefix}${at}.`,
    around: { scope, name, step, iteration },
  };
}

export interface Located {
  readonly scope: Scope;
  readonly name: string;
  readonly step: Step;
}

/** The step that an instance's path names, such as `rounds[2].search`. */
export function locate(definition: WorkflowDefinition, path: string): Located | undefined {
  const parts = path.split('.');
  let scope = rootScope(definition);
  for (const [at, part] of parts.entries()) {
    const [, name = '', iteration = '1'] = /^(\w+)(?:\[(\d+)\])?$/.exec(part) ?? [];
    const step = Object.hasOwn(scope.body.steps, name) ? scope.body.steps[name] : undefined;
    if (step === undefined) return undefined;
    if (at === parts.length - 1) return { scope, name, step };
    if (!isNested(step)) return undefined;
    scope = innerScope(scope, name, step, Number(iteration));
  }
  return undefined;
}

/** Which files a reference means, whatever stands between it and them. */
export type Source =
  | { readonly kind: 'input'; readonly name: string; readonly file: string | undefined }
  | {
      readonly kind: 'step';
      readonly path: string;
      readonly isFanOut: boolean;
      readonly file: string | undefined;
    };

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
  const { scope: outer, step, iteration, name: stepName } = scope.around;
  const carried = iteration > 1 ? step.repeat?.carry[name] : undefined;
  const source =
    carried === undefined
      ? resolveFiles(outer, steps, step.with[name] ?? '')
      : resolveFiles(innerScope(outer, stepName, step, iteration - 1), steps, carried);
  return file === undefined ? source : { ...source, file };
}

/** Where the text of a value comes from. */
export type ValueSource =
  | { readonly kind: 'input'; readonly name: string }
  /** To be filled with the values of that scope. */
  | { readonly kind: 'text'; readonly text: string; readonly scope: Scope }
  | { readonly kind: 'file'; readonly from: string; readonly scope: Scope };

export function resolveValue(scope: Scope, name: string): ValueSource {
  if (scope.around === undefined) return { kind: 'input', name };
  const { scope: outer, step, iteration, name: stepName } = scope.around;
  const carried = iteration > 1 ? step.repeat?.carry[name] : undefined;
  if (carried !== undefined) {
    return {
      kind: 'file',
      from: carried,
      scope: innerScope(outer, stepName, step, iteration - 1),
    };
  }
  const text = step.with[name] ?? step.workflow.inputs[name]?.default ?? '';
  return { kind: 'text', text, scope: outer };
}

/** Names of the values that placeholders of a scope may have. */
export const valueNames = (scope: Scope): string[] =>
  Object.entries(scope.body.inputs)
    .filter(([, input]) => input.kind === 'value')
    .map(([name]) => name);
