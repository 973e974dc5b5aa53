import type { EndedEvent, Lease } from '@majorana/protocol';
import type { Pod } from './objects.ts';
import type { StartWord } from './start-words.ts';

/** What the agent knows of the pod of an attempt that it holds. */
export interface HeldPod {
  readonly lease: Lease;
  /** As the watch last showed it. */
  pod?: Pod;
  /** It is no longer in the cluster. */
  isDeleted: boolean;
  /** A creation got no clear answer: there may be a pod that nobody told us of. */
  mayExist: boolean;
  /** A user ended it, so we asked for its deletion. */
  isOrdered: boolean;
  /** The kubelet's last word on its start, when it was asked for. */
  word?: { readonly word: StartWord | undefined; readonly atMs: number };
  /** The API server will never take its pod. */
  refusal?: string;
  /** It does not take its pod now, by a rule of the cluster's. */
  heldBack?: string;
  outcome?: EndedEvent;
}

export const newHeldPod = (lease: Lease): HeldPod => ({
  lease,
  isDeleted: false,
  mayExist: false,
  isOrdered: false,
});

/** Whether there is something to delete: also one that may have been made, and nobody heard. */
export const mayBeThere = ({ isDeleted, pod, mayExist }: HeldPod): boolean =>
  !isDeleted && (pod !== undefined || mayExist);
