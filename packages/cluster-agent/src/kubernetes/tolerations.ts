import type { Toleration } from '@majorana/core';
import type { PodNeeds } from './additions.ts';
import { ARCHITECTURE_LABEL } from './foreign-nodes.ts';

/**
 * Taints by which Kubernetes, a cloud or an autoscaler tells that a node is in trouble or about to go.
 * Who tolerates everything means what administrators keep apart: a kubelet short of disk refuses the
 * pod, and a node that is being taken away takes it along. By its name each may be tolerated.
 */
const TROUBLE =
  /^(node(\.cloudprovider)?\.kubernetes\.io\/|karpenter\.sh\/|aws-node-termination-handler\/|cloud\.google\.com\/impending-node-termination$|(ToBeDeletedBy|DeletionCandidateOf)ClusterAutoscaler$)/;

export const isTrouble = (key: string): boolean => TROUBLE.test(key);

/** Who names an architecture is not kept from it. */
const OF_ANY_ARCHITECTURE: readonly Toleration[] = [
  { key: ARCHITECTURE_LABEL, operator: 'Exists' },
  { key: ARCHITECTURE_LABEL, operator: 'Exists', isFact: true },
];

/** What a pod tolerates, with what else its words mean. */
export function meantBy({
  nodeSelector,
  tolerations,
}: Pick<PodNeeds, 'nodeSelector' | 'tolerations'>): readonly Toleration[] {
  const ofTrouble = tolerations
    .filter(({ key }) => isTrouble(key))
    .map((one) => ({ ...one, isFact: true }) as const);
  const ofArchitecture = ARCHITECTURE_LABEL in nodeSelector ? OF_ANY_ARCHITECTURE : [];
  if (ofTrouble.length + ofArchitecture.length === 0) return tolerations;
  return [...tolerations, ...ofTrouble, ...ofArchitecture];
}
