import type { RunSteps, Scope, StepState, WorkflowBody } from '@majorana/core';
import {
  begunScopes,
  elementStatus,
  formatJobId,
  formatRunId,
  isFinalStep,
  isNested,
  rootScope,
} from '@majorana/core';
import type { RoundView, RunView, StepView } from '@majorana/protocol';
import type { RoundRecord, RunRecord } from '@majorana/store';

export const runView = (run: RunRecord): RunView => ({
  id: formatRunId(run.runId),
  name: run.name,
  project: run.project,
  user: run.user,
  status: run.status,
  round: run.round,
  createdAtMs: run.createdAtMs,
  endedAtMs: run.endedAtMs,
});

/** What some states lack. */
const NOTHING = {
  reason: '',
  iteration: null,
  elementCount: 0,
  reusedCount: 0,
  failedCount: 0,
  failed: [],
  jobId: null,
};
type StepFacts = Pick<StepView, Exclude<keyof typeof NOTHING, 'jobId'>> & {
  readonly jobId: number | null;
};

/** What keeps a step from going on, when something does. */
export type TroubleOf = (path: string) => string | undefined;

function stepView(path: string, state: StepState | undefined, trouble = ''): StepView {
  const known = state as Partial<StepFacts> | undefined;
  const facts: StepFacts = { ...NOTHING, reason: trouble, ...known };
  return {
    path,
    status: state?.status ?? 'waiting',
    reason: facts.reason,
    startedAtMs: state?.startedAtMs ?? null,
    endedAtMs: isFinalStep(state) ? state!.sinceMs : null,
    iteration: facts.iteration,
    elementCount: facts.elementCount,
    reusedCount: facts.reusedCount,
    failedCount: facts.failedCount,
    failed: facts.failed,
    jobId: facts.jobId === null ? null : formatJobId(facts.jobId),
    countsByStatus: null,
  };
}

/** Every step in the order of the definition, nested ones after the step they belong to. */
function stepViews({ definition, state }: RoundRecord, troubleOf: TroubleOf): StepView[] {
  const views: StepView[] = [];
  const one = (body: WorkflowBody, scope: Scope): void => {
    for (const [name, step] of Object.entries(body.steps)) {
      const located = { scope, name, step };
      const path = scope.prefix + name;
      const scopes = begunScopes(located, state.steps);
      const isSpread = isNested(step) && step.each !== undefined;
      const view = stepView(path, state.steps[path], troubleOf(path));
      views.push(isSpread ? { ...view, ...elementCounts(scopes, state.steps) } : view);
      if (isSpread) views.push(...spreadViews(scopes, `${path}[*].`, state.steps));
      else for (const inner of scopes) one(inner.body, inner);
    }
  };
  one(definition, rootScope(definition));
  return views;
}

const elementCounts = (
  scopes: readonly Scope[],
  steps: RunSteps,
): Pick<StepView, 'countsByStatus'> => ({
  countsByStatus: countBy(scopes.map((scope) => elementStatus(scope, steps))),
});

function countBy(statuses: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const status of statuses) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

/** The steps inside a fan-out, each in all elements together: a thousand elements are one line. */
function spreadViews(scopes: readonly Scope[], prefix: string, steps: RunSteps): StepView[] {
  const [first] = scopes;
  if (first === undefined) return [];
  return Object.entries(first.body.steps).flatMap(([name, step]): StepView[] => {
    const states = scopes.map((scope) => steps[scope.prefix + name]);
    const view = togetherView(prefix + name, states);
    if (!isNested(step)) return [view];
    const inner = scopes.map((scope) => begunScopes({ scope, name, step }, steps));
    if (step.each !== undefined) {
      return [view, ...spreadViews(inner.flat(), `${prefix}${name}[*].`, steps)];
    }
    const rounds = Math.max(...inner.map(({ length }) => length));
    const inside = Array.from({ length: rounds }, (_, at) => {
      const there = inner.flatMap((all) => all.slice(at, at + 1));
      const label = step.repeat === undefined ? name : `${name}[${at + 1}]`;
      return spreadViews(there, `${prefix}${label}.`, steps);
    });
    return [view, ...inside.flat()];
  });
}

/** The worst that is final, once all are; before that, that some go on. */
const WORST_FIRST = ['failed', 'cancelled', 'blocked', 'succeeded', 'skipped'] as const;

function togetherStatus(counts: Readonly<Record<string, number>>): StepView['status'] {
  const isEnded = Object.keys(counts).every((one) => WORST_FIRST.some((status) => status === one));
  if (isEnded) return WORST_FIRST.find((status) => counts[status] !== undefined)!;
  return Object.keys(counts).length === 1 && counts['waiting'] !== undefined
    ? 'waiting'
    : 'running';
}

function togetherView(path: string, states: readonly (StepState | undefined)[]): StepView {
  const known = states.filter((state) => state !== undefined);
  const countsByStatus = countBy(states.map((state) => state?.status ?? 'waiting'));
  const sum = (field: 'elementCount' | 'reusedCount' | 'failedCount'): number =>
    known.reduce((total, state) => total + ((state as Partial<StepFacts>)[field] ?? 0), 0);
  const status = togetherStatus(countsByStatus);
  const isEnded = known.length === states.length && known.every(isFinalStep);
  const begunMs = known.map((state) => state.startedAtMs);
  return {
    ...stepView(path, undefined),
    status,
    startedAtMs: known.length === 0 ? null : begunMs.reduce((a, b) => Math.min(a, b)),
    endedAtMs: isEnded ? known.reduce((last, { sinceMs }) => Math.max(last, sinceMs), 0) : null,
    elementCount: sum('elementCount'),
    reusedCount: sum('reusedCount'),
    failedCount: sum('failedCount'),
    countsByStatus,
  };
}

export const roundView = (round: RoundRecord, troubleOf: TroubleOf): RoundView => ({
  round: round.round,
  status: round.state.status,
  startedAtMs: round.startedAtMs,
  endedAtMs: round.endedAtMs,
  definition: round.definition,
  inputs: round.inputs,
  steps: stepViews(round, troubleOf),
});
