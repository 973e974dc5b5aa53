import type { OutcomeKind } from '@majorana/core';
import type { ContainerState, Pod } from './objects.ts';
import { TASK_CONTAINER } from './pod.ts';

/** How a pod ended whose runner left no word, in the words of the task life-cycle. */
export interface SilentEnd {
  readonly kind: OutcomeKind;
  readonly exitCode?: number;
  readonly reason: string;
  /** The node is to be left alone for a while: it, not the task, is the likely cause. */
  readonly isNodesFault: boolean;
}

export type PodStanding =
  /** It waits for its node: `doing` is what the kubelet says it does. */
  | { readonly kind: 'starting'; readonly doing: string }
  | { readonly kind: 'running'; readonly startedAtMs: number }
  /** Its runner's last word. */
  | { readonly kind: 'told'; readonly message: string }
  | { readonly kind: 'silent'; readonly end: SilentEnd };

/** The kubelet refused it, since somebody else's pod was there first; words of kubelet 1.34. */
const REFUSALS: readonly RegExp[] = [
  /^OutOf/,
  /^(Unexpected)?AdmissionError/,
  /^NodeAffinity/,
  /^Topology/,
  /^NodePorts/,
  /^TaintToleration/,
];

/** What waiting for longer cannot mend. */
const HOPELESS = new Set(['InvalidImageName', 'ErrImageNeverPull', 'CreateContainerConfigError']);
const PULL_TROUBLE = new Set(['ErrImagePull', 'ImagePullBackOff', 'RegistryUnavailable']);

export interface StartLimits {
  /** How long an image that cannot be pulled is tried for. */
  readonly pullPatienceMs: number;
  /** How long any start may take, pulls of large images included. */
  readonly startPatienceMs: number;
}

const timeOf = (text: string | undefined, other: number): number =>
  text === undefined ? other : Date.parse(text);

const statesOf = (pod: Pod): readonly (ContainerState | undefined)[] => [
  ...(pod.status?.initContainerStatuses ?? []).map(({ state }) => state),
  ...(pod.status?.containerStatuses ?? []).map(({ state }) => state),
];

export function standingOf(pod: Pod, nowMs: number, limits: StartLimits): PodStanding {
  const state = pod.status?.containerStatuses?.find(({ name }) => name === TASK_CONTAINER)?.state;
  const message = state?.terminated?.message;
  if (message?.startsWith('{') === true) return { kind: 'told', message };
  const { phase } = pod.status ?? {};
  if (phase === 'Failed' || phase === 'Succeeded')
    return { kind: 'silent', end: silentEnd(pod, state) };
  if (state?.running !== undefined)
    return { kind: 'running', startedAtMs: timeOf(state.running.startedAt, nowMs) };
  return starting(pod, nowMs, limits);
}

function starting(pod: Pod, nowMs: number, limits: StartLimits): PodStanding {
  const waiting = statesOf(pod).find((one) => one?.waiting !== undefined)?.waiting;
  const { reason = 'Pending', message = '' } = waiting ?? {};
  const words = message === '' ? reason : `${reason}: ${message}`;
  const waitedMs = nowMs - timeOf(pod.metadata.creationTimestamp, nowMs);
  const isPull = PULL_TROUBLE.has(reason);
  if (HOPELESS.has(reason) || (isPull && waitedMs >= limits.pullPatienceMs)) {
    return { kind: 'silent', end: startError(`could not start: ${words}`, false) };
  }
  if (waitedMs < limits.startPatienceMs) return { kind: 'starting', doing: words };
  const minutes = Math.round(waitedMs / 60_000);
  const node = `node ${pod.spec.nodeName} did not start it within ${minutes} minutes`;
  return { kind: 'silent', end: lost(`${node}: ${words}`) };
}

const startError = (reason: string, isNodesFault: boolean): SilentEnd => ({
  kind: 'start_error',
  reason,
  isNodesFault,
});
const lost = (reason: string): SilentEnd => ({ kind: 'lost', reason, isNodesFault: true });

function silentEnd(pod: Pod, state: ContainerState | undefined): SilentEnd {
  const { reason = '', message = '' } = pod.status ?? {};
  const words = [reason, message].filter((text) => text !== '').join(': ');
  const where = `node ${pod.spec.nodeName}`;
  if (REFUSALS.some((one) => one.test(reason)))
    return { kind: 'lost', reason: `${where} refused it: ${words}`, isNodesFault: false };
  if (reason === 'Evicted' || reason === 'Preempting' || reason === 'Terminated')
    return { kind: 'reclaimed', reason: `${where} put it out: ${words}`, isNodesFault: false };
  if (reason === 'NodeLost' || reason === 'NodeShutdown' || reason === 'Shutdown')
    return { kind: 'reclaimed', reason: `${where} went down: ${words}`, isNodesFault: false };
  if (reason === 'DeadlineExceeded')
    return { kind: 'time_limit', reason: words, isNodesFault: false };
  const init = pod.status?.initContainerStatuses?.find(({ state: of }) => of?.terminated?.exitCode);
  if (init !== undefined)
    return startError(`could not start: its runner: ${wordsOf(init.state)}`, true);
  return silentContainer(state, where, words);
}

const wordsOf = (state: ContainerState | undefined): string => {
  const { exitCode, reason = '', message = '' } = state?.terminated ?? {};
  return [reason, `exit code ${exitCode}`, message].filter((text) => text !== '').join(', ');
};

function silentContainer(
  state: ContainerState | undefined,
  where: string,
  words: string,
): SilentEnd {
  const { terminated } = state ?? {};
  if (terminated === undefined)
    return lost(`${where} ended it before it started${words === '' ? '' : `: ${words}`}`);
  if (terminated.reason === 'OOMKilled') {
    const told = 'out of memory: the kernel ended its container, its log with it';
    return {
      kind: 'out_of_memory',
      exitCode: terminated.exitCode,
      reason: told,
      isNodesFault: false,
    };
  }
  if (['ContainerCannotRun', 'StartError'].includes(terminated.reason ?? ''))
    return startError(`could not start: ${terminated.message ?? terminated.reason}`, false);
  return lost(`its runner left no word on ${where}: ${wordsOf(state)}`);
}
