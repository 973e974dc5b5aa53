import type { KeyDifference } from '@majorana/core';
import { differences, elementLabel, formatRunId, keyParts, nearest } from '@majorana/core';
import type { StepExplanation } from '@majorana/protocol';
import type {
  ElementRecord,
  InstanceRecord,
  ResultOrigin,
  RoundRecord,
  StepResults,
} from '@majorana/store';

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

function sentenceOf({ elementCount, reusedCount }: InstanceRecord): string {
  if (reusedCount === elementCount) return 'every result was there already';
  if (reusedCount === 0) return 'run: there was no result of this key';
  return `${elementCount - reusedCount} of ${elementCount} run: the others were there already`;
}

const withoutElements = (path: string, sentence: string): StepExplanation => ({
  path,
  elementCount: 0,
  reusedCount: 0,
  sentence,
  elements: [],
});

/** Steps that were neither reused nor run: what their state says. */
function others(round: RoundRecord, known: ReadonlySet<string>): StepExplanation[] {
  return Object.entries(round.state.steps).flatMap(([path, state]) => {
    if (known.has(path) || !('reason' in state)) return [];
    return [withoutElements(path, `${state.status}: ${state.reason}`)];
  });
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
  for (const instance of instances) {
    const { path, elementCount, reusedCount } = instance;
    if (only.path !== undefined && only.path !== path) continue;
    const elements: ElementExplanation[] = [];
    for (const element of await results.elements(instance.instanceId, only.limit)) {
      elements.push(await explainElement(results, instance, project, element));
    }
    const sentence = sentenceOf(instance);
    explanations.push({ path, elementCount, reusedCount, sentence, elements });
  }
  const rest = others(round, new Set(instances.map(({ path }) => path)));
  return [
    ...explanations,
    ...rest.filter(({ path }) => only.path === undefined || path === only.path),
  ];
}
