import type { NestedStep, Step, WorkflowBody, WorkflowDefinition } from './definition.ts';
import { isNested, parseReference, referencesOf } from './definition.ts';
import type { Located, Scope } from './scope.ts';
import { begunScopes, innerScope, locate, rootScope } from './scope.ts';
import { spreadEnd } from './spread.ts';
import type { Command, Fact, RunState, RunStatus, StepState } from './state.ts';
import { isFinalRun, isFinalStep } from './state.ts';

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
  const run = new RunProgress(definition, state);
  run.advance(facts, nowMs);
  return { state: run.state, commands: run.outstanding() };
}

function commandOf(path: string, state: StepState): Command[] {
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
}

/** Omit over each member of a union. */
type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
type NewState = Without<StepState, 'startedAtMs' | 'sinceMs'>;

const BY_CANCEL = 'the run was cancelled';
const NOTHING_RAN = { failedCount: 0, failed: [], jobId: null } as const;

export interface Progress {
  /** Steps by path, as they are now. */
  readonly changed: ReadonlyMap<string, StepState>;
  /** What follows from the changes alone. */
  readonly commands: readonly Command[];
}

/**
 * A run held in memory. Ideally every step is looked at after each fact; but a step that waits can
 * only begin when the first of those it waits for is final, so that one's end is what it is looked
 * at for: ten thousand steps cost ten thousand looks, not a hundred million.
 */
export class RunProgress {
  readonly #definition: WorkflowDefinition;
  readonly #steps: Record<string, StepState>;
  #status: RunStatus;
  #nowMs = 0;
  #changed = new Map<string, StepState>();
  #toLook: Located[] = [];
  /** By the path of what is not final: the steps that wait for it first. */
  readonly #waiters = new Map<string, Located[]>();
  /** By the prefix of a scope that has been entered: how many of its steps are not final. */
  readonly #openCounts = new Map<string, number>();
  /** By the path of a nested fan-out: how many of its elements have not ended. */
  readonly #openElements = new Map<string, number>();

  constructor(definition: WorkflowDefinition, state: RunState) {
    this.#definition = definition;
    this.#steps = { ...state.steps };
    this.#status = state.status;
  }

  get status(): RunStatus {
    return this.#status;
  }

  get state(): RunState {
    return { status: this.#status, steps: this.#steps };
  }

  /** Everything that waits for an answer: what is to be done after a start, or when news is lost. */
  outstanding(): Command[] {
    if (isFinalRun(this.#status)) return [];
    return Object.entries(this.#steps).flatMap(([path, state]) => commandOf(path, state));
  }

  advance(facts: readonly Fact[], nowMs: number): Progress {
    this.#nowMs = nowMs;
    this.#changed = new Map();
    if (isFinalRun(this.#status)) return { changed: this.#changed, commands: [] };
    this.#enterRoot();
    for (const fact of facts) this.#learn(fact);
    for (let at = 0; at < this.#toLook.length; at += 1) this.#look(this.#toLook[at]!);
    this.#toLook = [];
    this.#finish();
    const commands = isFinalRun(this.#status)
      ? []
      : [...this.#changed].flatMap(([path, state]) => commandOf(path, state));
    return { changed: this.#changed, commands };
  }

  #enterRoot(): void {
    if (!this.#openCounts.has('')) this.#enter(rootScope(this.#definition));
  }

  /** All that is not final there is looked at. */
  #enter(scope: Scope): void {
    const open = Object.entries(scope.body.steps).filter(
      ([name]) => !isFinalStep(this.#steps[scope.prefix + name]),
    );
    this.#openCounts.set(scope.prefix, open.length);
    for (const [name, step] of open) this.#toLook.push({ scope, name, step });
  }

  #set(at: Located, state: NewState): void {
    const path = at.scope.prefix + at.name;
    const startedAtMs = this.#steps[path]?.startedAtMs ?? this.#nowMs;
    const next = { ...state, startedAtMs, sinceMs: this.#nowMs } as StepState;
    this.#steps[path] = next;
    this.#changed.set(path, next);
    if (!isFinalStep(next)) return;
    this.#toLook.push(...(this.#waiters.get(path) ?? []));
    this.#waiters.delete(path);
    const { prefix, around } = at.scope;
    const left = this.#openCounts.get(prefix)! - 1;
    this.#openCounts.set(prefix, left);
    if (left === 0 && around !== undefined) this.#leave(around);
  }

  /** All inside has ended. A fan-out is looked at only when its last element has. */
  #leave(around: Located): void {
    const path = around.scope.prefix + around.name;
    const openElements = this.#openElements.get(path);
    if (openElements !== undefined) this.#openElements.set(path, openElements - 1);
    if (openElements === undefined || openElements === 1) this.#toLook.push(around);
  }

  #learn(fact: Fact): void {
    if (fact.kind === 'cancel_requested') {
      this.#status = 'cancelling';
      this.#openCounts.clear();
      this.#openElements.clear();
      this.#waiters.clear();
      this.#toLook = [];
      this.#enterRoot();
      return;
    }
    const state = this.#steps[fact.path];
    const at = locate(this.#definition, fact.path);
    if (state === undefined || at === undefined || isFinalStep(state)) return;
    this.#enterAround(at);
    if (fact.kind === 'refused') this.#set(at, { status: 'failed', reason: fact.reason });
    else if (fact.kind === 'decided') this.#onDecided(at, fact, state);
    else if (fact.kind === 'prepared' && state.status === 'preparing') this.#onPrepared(at, fact);
    else if (fact.kind === 'submitted' && state.status === 'submitting') {
      const { elementCount, reusedCount } = state;
      this.#set(at, { status: 'running', jobId: fact.jobId, elementCount, reusedCount });
    } else if (fact.kind === 'ended') this.#onEnded(at, fact, state);
    else if (fact.kind === 'withdrawn' && state.status === 'submitting') {
      this.#set(at, { status: 'cancelled', reason: BY_CANCEL });
    }
    this.#toLook.push(at);
  }

  /** A fact may come before the scope it is about was looked at, after a start. */
  #enterAround({ scope }: Located): void {
    if (scope.around !== undefined) this.#enterAround(scope.around);
    if (!this.#openCounts.has(scope.prefix)) this.#enter(scope);
  }

  #onDecided(at: Located, fact: Extract<Fact, { kind: 'decided' }>, state: StepState): void {
    const { holds, why } = fact;
    const { step } = at;
    if (state.status === 'deciding' && fact.iteration === null) {
      if (holds) this.#begin(at);
      else this.#set(at, { status: 'skipped', reason: why });
      return;
    }
    if (state.status !== 'checking' || !isNested(step)) return;
    const { iteration } = state;
    // The answer about an earlier one, come again.
    if (fact.iteration !== iteration) return;
    const iterationsMax = step.repeat?.iterationsMax ?? 1;
    if (holds) this.#set(at, { status: 'succeeded', iteration });
    else if (iteration < iterationsMax) {
      this.#set(at, { status: 'iterating', iteration: iteration + 1 });
    } else {
      const reason = `after ${iteration} iterations, as many as there may be: ${why}`;
      this.#set(at, { status: 'failed', reason });
    }
  }

  #onPrepared(at: Located, fact: Extract<Fact, { kind: 'prepared' }>): void {
    const { elementCount, reusedCount } = fact;
    const isAllThere = reusedCount === elementCount;
    if (isNested(at.step) && elementCount > 0) {
      const { elements = [] } = fact;
      this.#set(at, { status: 'spreading', elementCount, reusedCount, elements });
    } else if (isAllThere) {
      this.#set(at, { status: 'succeeded', elementCount, reusedCount, ...NOTHING_RAN });
    } else this.#set(at, { status: 'submitting', elementCount, reusedCount });
  }

  #onEnded(at: Located, fact: Extract<Fact, { kind: 'ended' }>, state: StepState): void {
    const { step } = at;
    if ((state.status !== 'running' && state.status !== 'cancelling') || isNested(step)) return;
    const { failedCount, failed } = fact;
    const { elementCount, reusedCount, jobId } = state;
    const ended = { elementCount, reusedCount, failedCount, failed, jobId };
    const succeededCount = elementCount - failedCount;
    if (failedCount > 0 && state.status === 'cancelling') {
      const reason = `cancelled; ${succeededCount} of ${elementCount} had succeeded`;
      this.#set(at, { status: 'cancelled', reason });
    } else if (isEnough(step, ended)) this.#set(at, { status: 'succeeded', ...ended });
    else this.#set(at, { status: 'failed', reason: tooFew(step, ended), ...ended });
  }

  #look(at: Located): void {
    const { scope, name, step } = at;
    const path = scope.prefix + name;
    const state = this.#steps[path];
    if (this.#status === 'cancelling') this.#cancel(at, state);
    else if (state === undefined) this.#tryBegin(at);
    if (!isNested(step)) return;
    const { status } = this.#steps[path] ?? {};
    if (status === 'iterating') this.#iterate({ ...at, step });
    else if (status === 'spreading') this.#spread({ ...at, step });
  }

  /** What an agent may hold is ended first; all else ends at once. */
  #cancel(at: Located, state: StepState | undefined): void {
    if (isFinalStep(state)) return;
    if (state?.status === 'running') {
      const { jobId, elementCount, reusedCount } = state;
      this.#set(at, { status: 'cancelling', jobId, elementCount, reusedCount });
      return;
    }
    // Whether a job has been made is not known before it was looked for.
    const waits = ['submitting', 'cancelling', 'iterating', 'spreading'];
    if (state !== undefined && waits.includes(state.status)) return;
    this.#set(at, { status: 'cancelled', reason: BY_CANCEL });
  }

  #tryBegin(at: Located): void {
    const { scope, step } = at;
    let skipped: string | undefined;
    for (const { text, name } of upstreamOf(scope.body, step)) {
      const upstreamPath = scope.prefix + name;
      const upstream = this.#steps[upstreamPath];
      if (!isFinalStep(upstream)) {
        const waiters = this.#waiters.get(upstreamPath);
        if (waiters === undefined) this.#waiters.set(upstreamPath, [at]);
        else waiters.push(at);
        return;
      }
      if (upstream!.status === 'skipped') {
        if (!isOptional(step, text)) skipped ??= name;
      } else if (upstream!.status !== 'succeeded') {
        this.#set(at, { status: 'blocked', reason: `${name}: ${upstream!.status}` });
        return;
      }
    }
    if (skipped !== undefined) {
      this.#set(at, { status: 'skipped', reason: `${skipped} was skipped` });
    } else if (step.when !== undefined) this.#set(at, { status: 'deciding' });
    else this.#begin(at);
  }

  #begin(at: Located): void {
    const isOne = isNested(at.step) && at.step.each === undefined;
    if (isOne) this.#set(at, { status: 'iterating', iteration: 1 });
    else this.#set(at, { status: 'preparing' });
  }

  #iterate(at: Located & { readonly step: NestedStep }): void {
    const { scope, name, step } = at;
    const state = this.#steps[scope.prefix + name];
    if (state?.status !== 'iterating') return;
    const inner = innerScope(scope, name, step, state.iteration);
    if (!this.#openCounts.has(inner.prefix)) this.#enter(inner);
    if (this.#openCounts.get(inner.prefix)! > 0) return;
    const bad = Object.keys(step.workflow.steps).find((one) =>
      ['failed', 'blocked', 'cancelled'].includes(this.#steps[inner.prefix + one]!.status),
    );
    if (this.#status === 'cancelling') {
      this.#set(at, { status: 'cancelled', reason: BY_CANCEL });
    } else if (bad !== undefined) {
      const reason = `${inner.prefix}${bad}: ${this.#steps[inner.prefix + bad]!.status}`;
      this.#set(at, { status: 'failed', reason });
    } else if (step.repeat === undefined) {
      this.#set(at, { status: 'succeeded', iteration: state.iteration });
    } else this.#set(at, { status: 'checking', iteration: state.iteration });
  }

  /** Every element goes its own way, and has ended when all inside it has. */
  #spread(at: Located & { readonly step: NestedStep }): void {
    const { scope, name, step } = at;
    const path = scope.prefix + name;
    const state = this.#steps[path];
    if (state?.status !== 'spreading') return;
    const scopes = begunScopes(at, this.#steps);
    if (!this.#openElements.has(path)) {
      for (const inner of scopes) if (!this.#openCounts.has(inner.prefix)) this.#enter(inner);
      const open = scopes.filter((inner) => this.#openCounts.get(inner.prefix)! > 0);
      this.#openElements.set(path, open.length);
    }
    if (this.#openElements.get(path)! > 0) return;
    const ended = { ...spreadEnd(scopes, this.#steps), jobId: null, elements: state.elements };
    if (ended.failedCount > 0 && this.#status === 'cancelling') {
      this.#set(at, { status: 'cancelled', reason: BY_CANCEL, ...ended });
    } else if (isEnough(step, ended)) this.#set(at, { status: 'succeeded', ...ended });
    else this.#set(at, { status: 'failed', reason: tooFew(step, ended), ...ended });
  }

  #finish(): void {
    if (this.#openCounts.get('')! > 0) return;
    const names = Object.keys(this.#definition.steps);
    const isWell = names.every((name) =>
      ['succeeded', 'skipped'].includes(this.#steps[name]!.status),
    );
    const badly = this.#status === 'cancelling' ? 'cancelled' : 'failed';
    this.#status = isWell ? 'succeeded' : badly;
  }
}

type Counts = Pick<Extract<Fact, { kind: 'ended' }>, 'failedCount' | 'failed'> & {
  readonly elementCount: number;
};

const isEnough = ({ successPercentMin }: Step, { elementCount, failedCount }: Counts): boolean =>
  (elementCount - failedCount) * 100 >= elementCount * successPercentMin;

const tooFew = (step: Step, { elementCount, failedCount, failed }: Counts): string =>
  elementCount === 1
    ? (failed[0]?.reason ?? 'it failed')
    : `${failedCount} of ${elementCount} did not succeed, ${step.successPercentMin} % are needed`;

interface Upstream {
  readonly text: string;
  readonly name: string;
}
/** What is asked of a step again and again never changes: a gather of 5,000 steps has as many. */
const upstreamByStep = new WeakMap<Step, readonly Upstream[]>();

function upstreamOf(body: WorkflowBody, step: Step): readonly Upstream[] {
  const known = upstreamByStep.get(step);
  if (known !== undefined) return known;
  const upstream = referencesOf(step)
    .map((text) => ({ text, name: parseReference(text).name }))
    .filter(({ name }) => !Object.hasOwn(body.inputs, name));
  upstreamByStep.set(step, upstream);
  return upstream;
}

/** Every reference of the step to this text may lead to nothing. */
function isOptional(step: Step, text: string): boolean {
  if (isNested(step) || step.after.includes(text)) return false;
  return (
    step.inputs.some((input) => 'from' in input && input.from === text && input.isOptional) &&
    !Object.values(step.values).includes(text)
  );
}
