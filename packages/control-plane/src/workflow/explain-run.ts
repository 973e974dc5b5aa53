import type { KeyDifference } from '@majorana/core';
import {
  differences,
  elementLabel,
  elementsOf,
  formatRunId,
  keyParts,
  locate,
  nearest,
  patternOf,
} from '@majorana/core';
import type { StepExplanation } from '@majorana/protocol';
import type {
  ElementRecord,
  InstanceRecord,
  ResultOrigin,
  RoundRecord,
  StepResults,
} from '@majorana/store';

/** Of one step, told in all elements of a fan-out. */
const REASONS_MAX = 5;

type ElementExplanation = StepExplanation['elements'][number];

const originText = (origin: ResultOrigin, project: string): string => {
  const other = origin.project === project ? '' : ` of project ${origin.project}`;
  const round = origin.round === 1 ? '' : ` round ${origin.round}`;
  const place = origin.position === 0 ? '' : ` element ${origin.position}`;
  return `${formatRunId(origin.runId)}${other}${round} ${origin.path}${place}`;
};

async function explainElement(
  results: StepResults,
  instance: InstanceRecord,
  project: string,
  element: ElementRecord,
): Promise<ElementExplanation> {
  const { position, key, fields, jobPosition } = element;
  const isReused = jobPosition === null;
  const common = { position, key, isReused, label: instance.isFanOut ? elementLabel(fields) : '' };
  const origin = await results.origin(project, key);
  const made = origin === undefined ? null : originText(origin, project);
  if (isReused) return { ...common, origin: made, nearest: null, differences: [] };
  const now = keyParts(instance.template, fields);
  const candidates = await results.candidates(instance, project, position);
  const earlier = nearest(
    candidates.map((one) => ({ one, parts: keyParts(one.template, one.fields) })),
    now,
  );
  const found: KeyDifference[] = earlier === undefined ? [] : differences(earlier.parts, now);
  const compared = earlier === undefined ? null : originText(earlier.one, project);
  return { ...common, origin: made, nearest: compared, differences: found };
}

type Counts = Pick<InstanceRecord, 'elementCount' | 'reusedCount'>;

function sentenceOf({ elementCount, reusedCount }: Counts): string {
  if (reusedCount === elementCount) return 'every result was there already';
  if (reusedCount === 0) return 'run: there was no result of this key';
  return `${elementCount - reusedCount} of ${elementCount} run: the others were there already`;
}

/** Instances by what they are told as: those of one step in all elements of a fan-out together. */
function groupsOf(
  instances: readonly InstanceRecord[],
  { definition }: RoundRecord,
  path: string | undefined,
): Map<string, InstanceRecord[]> {
  const groups = new Map<string, InstanceRecord[]>();
  for (const instance of instances) {
    const isExact = instance.path === path;
    const group = isExact ? instance.path : patternOf(definition, instance.path);
    if (path !== undefined && group !== path) continue;
    groups.set(group, [...(groups.get(group) ?? []), instance]);
  }
  return groups;
}

const withoutElements = (path: string, sentence: string): StepExplanation => ({
  path,
  elementCount: 0,
  reusedCount: 0,
  sentence,
  elements: [],
});

/** Steps that were neither reused nor run: what their state says, of equal ones how many. */
function others(round: RoundRecord, known: ReadonlySet<string>): StepExplanation[] {
  const counts = new Map<string, Map<string, number>>();
  for (const [path, state] of Object.entries(round.state.steps)) {
    if (known.has(path) || !('reason' in state)) continue;
    const pattern = patternOf(round.definition, path);
    const reasons = counts.get(pattern) ?? new Map<string, number>();
    counts.set(pattern, reasons);
    const sentence = `${state.status}: ${state.reason}`;
    reasons.set(sentence, (reasons.get(sentence) ?? 0) + 1);
  }
  return [...counts].flatMap(([path, reasons]) =>
    [...reasons]
      .slice(0, REASONS_MAX)
      .map(([sentence, count]) =>
        withoutElements(path, count === 1 ? sentence : `${count} times ${sentence}`),
      ),
  );
}

/** What was run comes first. */
const rank = ({ elementCount, reusedCount }: Counts): number =>
  reusedCount === elementCount ? 1 : 0;

/** Which element of the innermost fan-out a path is in. */
function elementOf(
  { definition, state }: RoundRecord,
  path: string,
): {
  readonly position: number;
  readonly label: string;
} {
  let around = locate(definition, path)?.scope.around;
  while (around !== undefined && around.step.each === undefined) around = around.scope.around;
  if (around === undefined) return { position: 0, label: path };
  const fields = elementsOf(state.steps, around.scope.prefix + around.name)[around.ordinal] ?? {};
  return { position: around.ordinal, label: elementLabel(fields) };
}

/** Why each step of a round was reused or run: what of its key differs from the nearest earlier one. */
export async function explainRound(
  results: StepResults,
  round: RoundRecord,
  project: string,
  only: { readonly path?: string | undefined; readonly limit: number },
): Promise<StepExplanation[]> {
  const instances = await results.instances(round.runId, round.round);
  const explanations: StepExplanation[] = [];
  for (const [path, group] of groupsOf(instances, round, only.path)) {
    const ranFirst = group
      .map((instance) => ({ ...elementOf(round, instance.path), instance }))
      .toSorted((a, b) => rank(a.instance) - rank(b.instance) || a.position - b.position);
    const elements: ElementExplanation[] = [];
    for (const { instance, ...element } of ranFirst) {
      if (elements.length >= only.limit) break;
      const own = path === instance.path ? undefined : element;
      const limit = only.limit - elements.length;
      for (const one of await results.elements(instance.instanceId, limit)) {
        elements.push({ ...(await explainElement(results, instance, project, one)), ...own });
      }
    }
    const counts = {
      elementCount: group.reduce((sum, one) => sum + one.elementCount, 0),
      reusedCount: group.reduce((sum, one) => sum + one.reusedCount, 0),
    };
    explanations.push({ path, ...counts, sentence: sentenceOf(counts), elements });
  }
  const rest = others(round, new Set(instances.map(({ path }) => path)));
  return [
    ...explanations,
    ...rest.filter(({ path }) => only.path === undefined || path === only.path),
  ];
}
