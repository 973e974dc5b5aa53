import type { StepExplanation } from '@majorana/protocol';

const VALUE_LENGTH_MAX = 70;
const CONTEXT_LENGTH = 25;

const short = (value: string | null, from = 0): string => {
  if (value === null) return '(none)';
  if (/^[0-9a-f]{64}$/.test(value)) return value.slice(0, 12);
  if (value.length <= VALUE_LENGTH_MAX) return value;
  const begin = from > 0 ? '…' : '';
  const end = value.length > from + VALUE_LENGTH_MAX ? '…' : '';
  return `${begin}${value.slice(from, from + VALUE_LENGTH_MAX)}${end}`;
};

/** Two long texts are shown from shortly before the place where they part. */
function change(before: string | null, now: string | null): string {
  let same = 0;
  while (before !== null && now !== null && same < before.length && before[same] === now[same]) {
    same += 1;
  }
  const from = Math.max(0, same - CONTEXT_LENGTH);
  return `${short(before, from)} -> ${short(now, from)}`;
}

type Element = StepExplanation['elements'][number];

function elementLines(element: Element, indent: string): string[] {
  const { isReused, origin, nearest, differences } = element;
  if (isReused) return [`${indent}reused: made by ${origin ?? 'a run that is gone'}`];
  if (nearest === null) return [`${indent}run: no earlier result of this step`];
  if (differences.length === 0) return [`${indent}run: as ${nearest}, which had not ended yet`];
  return [
    `${indent}run: unlike ${nearest}`,
    ...differences.map(({ part, before, now }) => `${indent}  ${part}: ${change(before, now)}`),
  ];
}

/** Why a step was reused or run, as lines. */
export function explainStep(step: StepExplanation): string[] {
  const [first] = step.elements;
  if (step.elementCount === 1 && first?.label === '') {
    const [head = '', ...rest] = elementLines(first, '');
    return [`${step.path}: ${head}`, ...rest];
  }
  const more = step.elementCount - step.elements.length;
  return [
    `${step.path}: ${step.sentence}`,
    ...step.elements.flatMap((element) => [
      `  element ${element.position} (${short(element.label)})`,
      ...elementLines(element, '    '),
    ]),
    ...(more > 0 ? [`  … ${more} more; --step ${step.path} --limit ${step.elementCount}`] : []),
  ];
}
