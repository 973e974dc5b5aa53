import type { StepExplanation } from '@majorana/protocol';

const VALUE_LENGTH_MAX = 70;

const short = (value: string | null): string => {
  if (value === null) return '(none)';
  if (/^[0-9a-f]{64}$/.test(value)) return value.slice(0, 12);
  return value.length > VALUE_LENGTH_MAX ? `${value.slice(0, VALUE_LENGTH_MAX)}…` : value;
};

type Element = StepExplanation['elements'][number];

function elementLines(element: Element, indent: string): string[] {
  const { isReused, origin, nearest, differences } = element;
  if (isReused) return [`${indent}reused: made by ${origin ?? 'a run that is gone'}`];
  if (nearest === null) return [`${indent}run: no earlier result of this step`];
  if (differences.length === 0) return [`${indent}run: as ${nearest}, which had not ended yet`];
  return [
    `${indent}run: unlike ${nearest}`,
    ...differences.map(
      ({ part, before, now }) => `${indent}  ${part}: ${short(before)} -> ${short(now)}`,
    ),
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
