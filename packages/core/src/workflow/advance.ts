import type { NestedStep, Step, WorkflowDefinition } from './definition.ts';
import { isNested, parseReference, referencesOf } from './definition.ts';
import type { Scope } from './scope.ts';
import { innerScope, locate, rootScope } from './scope.ts';
import type { Command, Fact, RunState, RunStatus, StepState } from './state.ts';
import { isFinalRun, isFinalStep } from './state.ts';

type Steps = Record<string, StepState>;

export interface Advanced {
  readonly state: RunState;
  /** All that is outstanding, not only what is new: saying it again does no harm. */
  readonly commands: readonly Command[];
}

/** Where a run stands after what was learned, and what is to be done for it now. */
export function advance(
  definition: WorkflowDefinition,
  state: RunState,
  facts: readonly Fact[],
  nowMs: number,
): Advanced {
  if (isFinalRun(state.status)) return { state, commands: [] };
  const run = new Progress(definition, state, nowMs);
  for (const fact of facts) run.learn(fact);
  run.walk(rootScope(definition));
  const next = run.finish();
  return { state: next, commands: isFinalRun(next.status) ? [] : commandsOf(next) };
}

function commandsOf({ steps }: RunState): Command[] {
  return Object.entries(steps).flatMap(([path, state]): Command[] => {
    switch (state.status) {
      case 'deciding':
        return [{ kind: 'decide', path, iteration: null }];
      case 'checking':
        return [{ kind: 'decide', path, iteration: state.iteration }];
      case 'preparing':
        return [{ kind: 'prepare', path }];
      case 'submitting':
        return [{ kind: 'submit', path }];
      case 'running':
        return [{ kind: 'await', path, jobId: state.jobId }];
      case 'cancelling':
        return [{ kind: 'cancel', path, jobId: state.jobId }];
      default:
        return [];
    }
  });
}

/** Omit over each member of a union. */
type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
type NewState = Without<StepState, 'startedAtMs' | 'sinceMs'>;

const NOTHING_RAN = { failedCount: 0, failed: [], jobId: null } as const;

/** One advance under way: a copy of the steps, changed in place. */
class Progress {
  readonly #definition: WorkflowDefinition;
  readonly #steps: Steps;
  readonly #nowMs: number;
  #status: RunStatus;

  constructor(definition: WorkflowDefinition, state: RunState, nowMs: number) {
    this.#definition = definition;
    this.#steps = { ...state.steps };
    this.#status = state.status;
    this.#nowMs = nowMs;
  }

  #set(path: string, state: NewState): void {
    const startedAtMs = this.#steps[path]?.startedAtMs ?? this.#nowMs;
    this.#steps[path] = { ...state, startedAtMs, sinceMs: this.#nowMs } as StepState;
  }

  learn(fact: Fact): void {
    if (fact.kind === 'cancel_requested') {
      this.#status = 'cancelling';
      return;
    }
    const { path } = fact;
    const state = this.#steps[path];
    const found = locate(this.#definition, path);
    if (state === undefined || found === undefined || isFinalStep(state)) return;
    if (fact.kind === 'refused') this.#set(path, { status: 'failed', reason: fact.reason });
    else if (fact.kind === 'decided') this.#onDecided(fact, state, found.step);
    else if (fact.kind === 'prepared' && state.status === 'preparing') this.#onPrepared(fact);
    else if (fact.kind === 'submitted' && state.status === 'submitting') {
      const { elementCount, reusedCount } = state;
      this.#set(path, { status: 'running', jobId: fact.jobId, elementCount, reusedCount });
    } else if (fact.kind === 'ended') this.#onEnded(fact, state, found.step);
  }

  #onDecided(fact: Extract<Fact, { kind: 'decided' }>, state: StepState, step: Step): void {
    const { path, holds, why } = fact;
    if (state.status === 'deciding' && fact.iteration === null) {
      if (holds) this.#begin(path, step);
      else this.#set(path, { status: 'skipped', reason: why });
      return;
    }
    if (state.status !== 'checking' || !isNested(step)) return;
    const { iteration } = state;
    // The answer about an earlier one, come again.
    if (fact.iteration !== iteration) return;
    const iterationsMax = step.repeat?.iterationsMax ?? 1;
    if (holds) this.#set(path, { status: 'succeeded', iteration });
    else if (iteration < iterationsMax) {
      this.#set(path, { status: 'iterating', iteration: iteration + 1 });
    } else {
      const reason = `after ${iteration} iterations, as many as there may be: ${why}`;
      this.#set(path, { status: 'failed', reason });
    }
  }

  #onPrepared({ path, elementCount, reusedCount }: Extract<Fact, { kind: 'prepared' }>): void {
    const isAllThere = reusedCount === elementCount;
    if (isAllThere) {
      this.#set(path, { status: 'succeeded', elementCount, reusedCount, ...NOTHING_RAN });
    } else this.#set(path, { status: 'submitting', elementCount, reusedCount });
  }

  #onEnded(fact: Extract<Fact, { kind: 'ended' }>, state: StepState, step: Step): void {
    if ((state.status !== 'running' && state.status !== 'cancelling') || isNested(step)) return;
    const { path, failedCount, failed } = fact;
    const { elementCount, reusedCount, jobId } = state;
    const ended = { elementCount, reusedCount, failedCount, failed, jobId };
    const succeededCount = elementCount - failedCount;
    if (failedCount > 0 && state.status === 'cancelling') {
      const reason = `cancelled; ${succeededCount} of ${elementCount} had succeeded`;
      this.#set(path, { status: 'cancelled', reason });
    } else if (succeededCount * 100 >= elementCount * step.successPercentMin) {
      this.#set(path, { status: 'succeeded', ...ended });
    } else {
      const needed = `${step.successPercentMin} % are needed`;
      const reason =
        elementCount === 1
          ? (failed[0]?.reason ?? 'it failed')
          : `${failedCount} of ${elementCount} did not succeed, ${needed}`;
      this.#set(path, { status: 'failed', reason, ...ended });
    }
  }

  /** Looks at every step of a scope, and into nested ones; each may free those after it. */
  walk(scope: Scope): void {
    const names = Object.keys(scope.body.steps);
    // A step may stand before the one it takes from: as often as there are steps is enough.
    for (let round = 0; round < names.length; round += 1) {
      const openBefore = this.#openCount(scope, names);
      for (const name of names) this.#look(scope, name, scope.body.steps[name]!);
      if (this.#openCount(scope, names) === openBefore) return;
    }
  }

  #openCount(scope: Scope, names: readonly string[]): number {
    return names.filter((name) => !isFinalStep(this.#steps[scope.prefix + name])).length;
  }

  #look(scope: Scope, name: string, step: Step): void {
    const path = scope.prefix + name;
    const state = this.#steps[path];
    if (this.#status === 'cancelling') this.#cancel(path, state);
    else if (state === undefined) this.#tryBegin(scope, path, step);
    const now = this.#steps[path];
    if (isNested(step) && now !== undefined && 'iteration' in now) {
      this.#iterate({ scope, name, step, path });
    }
  }

  /** What an agent may hold is ended first; all else ends at once. */
  #cancel(path: string, state: StepState | undefined): void {
    if (isFinalStep(state)) return;
    if (state?.status === 'running') {
      const { jobId, elementCount, reusedCount } = state;
      this.#set(path, { status: 'cancelling', jobId, elementCount, reusedCount });
      return;
    }
    // Whether a job has been made is not known before its number is.
    const waits = ['submitting', 'cancelling', 'iterating'];
    if (state !== undefined && waits.includes(state.status)) return;
    this.#set(path, { status: 'cancelled', reason: 'the run was cancelled' });
  }

  #tryBegin(scope: Scope, path: string, step: Step): void {
    let skipped: string | undefined;
    for (const text of referencesOf(step)) {
      const { name } = parseReference(text);
      if (Object.hasOwn(scope.body.inputs, name)) continue;
      const upstream = this.#steps[scope.prefix + name];
      if (!isFinalStep(upstream)) return;
      if (upstream!.status === 'skipped') {
        if (!isOptional(step, text)) skipped ??= name;
      } else if (upstream!.status !== 'succeeded') {
        this.#set(path, { status: 'blocked', reason: `${name}: ${upstream!.status}` });
        return;
      }
    }
    if (skipped !== undefined) {
      this.#set(path, { status: 'skipped', reason: `${skipped} was skipped` });
    } else if (step.when !== undefined) this.#set(path, { status: 'deciding' });
    else this.#begin(path, step);
  }

  #begin(path: string, step: Step): void {
    if (isNested(step)) this.#set(path, { status: 'iterating', iteration: 1 });
    else this.#set(path, { status: 'preparing' });
  }

  #iterate(at: { scope: Scope; name: string; step: NestedStep; path: string }): void {
    const { scope, name, step, path } = at;
    const state = this.#steps[path];
    if (state?.status !== 'iterating') return;
    const inner = innerScope(scope, name, step, state.iteration);
    this.walk(inner);
    const states = Object.keys(step.workflow.steps).map((one) => this.#steps[inner.prefix + one]);
    if (!states.every(isFinalStep)) return;
    const bad = Object.keys(step.workflow.steps).find((one) =>
      ['failed', 'blocked', 'cancelled'].includes(this.#steps[inner.prefix + one]!.status),
    );
    if (this.#status === 'cancelling') {
      this.#set(path, { status: 'cancelled', reason: 'the run was cancelled' });
    } else if (bad !== undefined) {
      const reason = `${inner.prefix}${bad}: ${this.#steps[inner.prefix + bad]!.status}`;
      this.#set(path, { status: 'failed', reason });
    } else if (step.repeat === undefined) {
      this.#set(path, { status: 'succeeded', iteration: state.iteration });
    } else this.#set(path, { status: 'checking', iteration: state.iteration });
  }

  finish(): RunState {
    const names = Object.keys(this.#definition.steps);
    const states = names.map((name) => this.#steps[name]);
    let status: RunStatus = this.#status;
    if (states.every(isFinalStep)) {
      const isWell = states.every(
        (one) => one!.status === 'succeeded' || one!.status === 'skipped',
      );
      const badly = status === 'cancelling' ? 'cancelled' : 'failed';
      status = isWell ? 'succeeded' : badly;
    }
    return { status, steps: this.#steps };
  }
}

/** Every reference of the step to this text may lead to nothing. */
function isOptional(step: Step, text: string): boolean {
  if (isNested(step) || step.after.includes(text)) return false;
  return (
    step.inputs.some((input) => 'from' in input && input.from === text && input.isOptional) &&
    !Object.values(step.values).includes(text)
  );
}
