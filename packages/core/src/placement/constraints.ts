import type { NodePicture, Taint } from './node-picture.ts';
import type { TaskShape, Toleration } from './placement-group.ts';

export function tolerates(tolerations: readonly Toleration[], taint: Taint): boolean {
  return tolerations.some(
    (one) =>
      one.isFact === taint.isFact &&
      (one.effect === undefined || one.effect === taint.effect) &&
      (one.key === taint.key || (one.key === '' && one.operator === 'Exists')) &&
      (one.operator === 'Exists' || (one.value ?? '') === taint.value),
  );
}

/** The first label of which the node has not the value that the shape asks for. */
export function findMissingLabel(shape: TaskShape, node: NodePicture): string | undefined {
  const { nodeSelector } = shape;
  for (const label in nodeSelector) if (node.labels[label] !== nodeSelector[label]) return label;
  return undefined;
}

export const findHardTaint = (shape: TaskShape, node: NodePicture): Taint | undefined =>
  node.taints.find(
    (taint) => taint.effect !== 'PreferNoSchedule' && !tolerates(shape.tolerations, taint),
  );

export const BLOCKED = 0;
export const OPEN = 1;
/** Allowed, but another node is better: a `PreferNoSchedule` taint. */
export const AVOIDED = 2;
export type Eligibility = typeof BLOCKED | typeof OPEN | typeof AVOIDED;

export function eligibilityByTaints(
  tolerations: readonly Toleration[],
  taints: readonly Taint[],
): Eligibility {
  const left = taints.filter((taint) => !tolerates(tolerations, taint));
  if (left.some(({ effect }) => effect !== 'PreferNoSchedule')) return BLOCKED;
  return left.length === 0 ? OPEN : AVOIDED;
}

const isEmpty = (record: object): boolean => {
  for (const _ in record) return false;
  return true;
};

export const isUnconstrained = ({ nodeSelector, tolerations }: TaskShape): boolean =>
  tolerations.length === 0 && isEmpty(nodeSelector);

/** Shapes with equal keys are allowed on the same nodes; most ask for nothing, and cost nothing. */
export function constraintKey(shape: TaskShape): string {
  if (isUnconstrained(shape)) return '';
  const { nodeSelector, tolerations } = shape;
  const labels = Object.keys(nodeSelector).toSorted((a, b) => (a < b ? -1 : 1));
  return JSON.stringify([labels.map((label) => [label, nodeSelector[label]]), tolerations]);
}
