import type { TaskFields } from '../placeholder.ts';
import type { NestedStep, Step, WorkflowBody, WorkflowDefinition } from './definition.ts';
import { isNested } from './definition.ts';
import type { RunSteps } from './state.ts';

/** Where names are looked up: the workflow itself, or one iteration or element of a nested one. */
export interface Scope {
  readonly body: WorkflowBody;
  /** Before the names of its steps: empty, `sub.`, `rounds[2].`, `rounds[2].sub.` */
  readonly prefix: string;
  /** Iterations are counted from one, the positions of a fan-out's elements from zero. */
  readonly around?: Located & { readonly step: NestedStep; readonly ordinal: number };
}

export const rootScope = (definition: WorkflowDefinition): Scope => ({
  body: definition,
  prefix: '',
});

export function innerScope(scope: Scope, name: string, step: NestedStep, ordinal: number): Scope {
  const isOne = step.repeat === undefined && step.each === undefined;
  return {
    body: step.workflow,
    prefix: `${scope.prefix}${isOne ? name : `${name}[${ordinal}]`}.`,
    around: { scope, name, step, ordinal },
  };
}

/** Iterations or elements of a nested workflow that have begun, in their order. */
export function begunScopes({ scope, name, step }: Located, steps: RunSteps): Scope[] {
  if (!isNested(step)) return [];
  if (step.each !== undefined) {
    return elementsOf(steps, scope.prefix + name).map((_, at) => innerScope(scope, name, step, at));
  }
  const scopes: Scope[] = [];
  for (let iteration = 1; iteration <= (step.repeat?.iterationsMax ?? 1); iteration += 1) {
    const inner = innerScope(scope, name, step, iteration);
    const isBegun = Object.keys(inner.body.steps).some((one) => inner.prefix + one in steps);
    if (!isBegun) break;
    scopes.push(inner);
  }
  return scopes;
}

/** Fields of the elements of a nested fan-out; none before they are known. */
export function elementsOf(steps: RunSteps, path: string): readonly TaskFields[] {
  const state = steps[path];
  return (state !== undefined && 'elements' in state ? state.elements : undefined) ?? [];
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
    const [, name = '', ordinal = '1'] = /^(\w+)(?:\[(\d+)\])?$/.exec(part) ?? [];
    const step = Object.hasOwn(scope.body.steps, name) ? scope.body.steps[name] : undefined;
    if (step === undefined) return undefined;
    if (at === parts.length - 1) return { scope, name, step };
    if (!isNested(step)) return undefined;
    scope = innerScope(scope, name, step, Number(ordinal));
  }
  return undefined;
}

/** As a path, with `[*]` for every element of a fan-out: what is told of all of them together. */
export function patternOf(definition: WorkflowDefinition, path: string): string {
  const parts = path.split('.');
  const patterns = parts.map((part, at) => {
    const own = locate(definition, parts.slice(0, at + 1).join('.'));
    const isElement = own !== undefined && isNested(own.step) && own.step.each !== undefined;
    return isElement ? part.replace(/\[\d+\]$/, '[*]') : part;
  });
  return patterns.join('.');
}
