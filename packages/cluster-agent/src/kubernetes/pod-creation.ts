import type { Lease } from '@majorana/protocol';
import { ApiServerError } from './api-server.ts';
import type { Pod } from './objects.ts';
import type { OwnPods } from './own-pods.ts';
import { attemptOf, podName } from './pod.ts';

/** What became of a request for a pod. */
export type Creation =
  | { readonly kind: 'created'; readonly pod: Pod }
  /** It was made before, and nobody heard: the answer was lost, or another agent did it. */
  | { readonly kind: 'found'; readonly pod: Pod }
  /** The API server will never take it. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Its name is somebody else's pod. */
  | { readonly kind: 'name_taken'; readonly reason: string }
  /** A rule of the cluster's does not let it be now. */
  | { readonly kind: 'held_back'; readonly reason: string }
  | FailedCreation;

/** It may come through another time. */
export interface FailedCreation {
  readonly kind: 'failed';
  readonly error: unknown;
  /** 0: there was no answer. */
  readonly status: number;
  readonly retryAfterMs: number;
}

/** A webhook's or a policy's no, for which whoever wrote it chose the status, 400 and 422 among them. */
const RULE = /denied (the )?request/;

/** Of the pod itself, or of the namespace's pod security level, which lets no such pod be. */
const isForGood = ({ status, message }: ApiServerError): boolean =>
  ([400, 422].includes(status) && !RULE.test(message)) ||
  (status === 403 && message.includes('violates PodSecurity'));

/** A quota, a limit, a policy, a role or a token that was taken away, a namespace that is gone. */
const isHeldBack = ({ status, message }: ApiServerError): boolean =>
  [401, 403, 404].includes(status) || (status < 500 && RULE.test(message));

/** However often it is asked, there is one pod of an attempt, since names are unique. */
export async function createPod(pods: OwnPods, lease: Lease, nodeName: string): Promise<Creation> {
  try {
    return { kind: 'created', pod: await pods.create(lease, nodeName) };
  } catch (error) {
    if (!(error instanceof ApiServerError))
      return { kind: 'failed', error, status: 0, retryAfterMs: 0 };
    const { status, message: reason, retryAfterMs } = error;
    if (status === 409) return adopt(pods, lease);
    if (isForGood(error)) return { kind: 'refused', reason };
    if (isHeldBack(error)) return { kind: 'held_back', reason };
    return { kind: 'failed', error, status, retryAfterMs };
  }
}

async function adopt(pods: OwnPods, lease: Lease): Promise<Creation> {
  const { attemptId } = lease;
  const pod = await pods.read(attemptId);
  if (pods.isOwn(pod) && attemptOf(pod) === attemptId && pods.isFor(pod, lease))
    return { kind: 'found', pod };
  return { kind: 'name_taken', reason: `there is a pod ${podName(attemptId)} that is not ours` };
}

/** Whether there may be a pod that nobody told us of. */
export const mayHaveBeenMade = ({ status }: FailedCreation): boolean =>
  status === 0 || status >= 500;

/** Whether the API server has more to do than it can. */
export const isOverload = (failed: FailedCreation): boolean =>
  failed.status === 429 || mayHaveBeenMade(failed);
