import type { StepState, WorkflowBody } from '@majorana/core';
import {
  formatJobId,
  formatRunId,
  innerScope,
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
  };
}

/** Every step in the order of the definition, nested ones after the step they belong to. */
function stepViews({ definition, state }: RoundRecord, troubleOf: TroubleOf): StepView[] {
  const views: StepView[] = [];
  const visit = (body: WorkflowBody, scope: ReturnType<typeof rootScope>): void => {
    for (const [name, step] of Object.entries(body.steps)) {
      const path = scope.prefix + name;
      const here = state.steps[path];
      views.push(stepView(path, here, troubleOf(path)));
      if (!isNested(step)) continue;
      const last =
        here !== undefined && 'iteration' in here ? here.iteration : begunCount(path, state);
      for (let iteration = 1; iteration <= last; iteration += 1) {
        visit(step.workflow, innerScope(scope, name, step, iteration));
      }
    }
  };
  visit(definition, rootScope(definition));
  return views;
}

/** Of a nested workflow that failed or was cancelled: how many of its iterations had begun. */
function begunCount(path: string, state: RoundRecord['state']): number {
  let count = 0;
  for (const other of Object.keys(state.steps)) {
    if (!other.startsWith(path)) continue;
    const rest = other.slice(path.length);
    if (rest.startsWith('.')) count = Math.max(count, 1);
    const iteration = /^\[(\d+)\]\./.exec(rest)?.[1];
    if (iteration !== undefined) count = Math.max(count, Number(iteration));
  }
  return count;
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
