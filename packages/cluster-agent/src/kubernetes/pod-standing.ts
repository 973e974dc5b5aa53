import type { OutcomeKind } from '@majorana/core';
import type { ContainerState, Pod } from './objects.ts';
import { isTerminated } from './objects.ts';
import { isTaskContainer, RUNNER_CONTAINER } from './pod.ts';
import type { StartWord } from './start-words.ts';

/** How a pod ended whose runner left no word, in the words of the task life-cycle. */
export interface SilentEnd {
  readonly kind: OutcomeKind;
  readonly exitCode?: number;
  readonly reason: string;
  /**
   * Whether its node is to be left alone for a while: briefly when it refused what somebody else
   * took first, longer when it broke, which the task may have done to it. What it could not mount
   * may be the node's fault or the job's.
   */
  readonly fault: 'none' | 'refused' | 'broke' | 'mount';
}

export type PodStanding =
  /** It waits for its node: `doing` is what the kubelet says it does. */
  | { readonly kind: 'starting'; readonly doing: string }
  | { readonly kind: 'running'; readonly startedAtMs: number }
  /** Its runner's last word; `cause`: who else ended its pod, in the words of the cluster. */
  | {
      readonly kind: 'told';
      readonly message: string;
      readonly cause?: string;
      readonly isOverScratch: boolean;
    }
  | { readonly kind: 'silent'; readonly end: SilentEnd };

/** The kubelet refused it, since somebody else's pod was there first; words of kubelet 1.34. */
const REFUSAL_MESSAGE = /^Pod was rejected/;
const REFUSALS: readonly RegExp[] = [
  /^OutOf/,
  /^(Unexpected)?AdmissionError/,
  /^NodeAffinity/,
  /^Topology/,
  /^NodePorts/,
  /^TaintToleration/,
];

/** Ends of a node's own making, of which the machine or the room on it is taken away. */
const PUT_OUT = new Set(['Evicted', 'Preempting']);
const WENT_DOWN = new Set(['Terminated', 'NodeShutdown', 'Shutdown', 'NodeLost']);

/**
 * The kubelet's words on a pod that filled its own disk space: it would fill that of any other node
 * too. Everything else it evicts for is the node's pressure.
 */
const OVER_SCRATCH =
  /exceeds the total limit|exceeded its local ephemeral storage limit|Usage of EmptyDir volume/;

/** What waiting for longer cannot mend. */
const HOPELESS = new Set(['InvalidImageName', 'ErrImageNeverPull', 'CreateContainerConfigError']);
/** Of a config error that mends itself: the kubelet has not read the secret yet. */
const CACHE_LAG = /failed to sync \w+ cache/;
const PULL_TROUBLE = new Set(['ErrImagePull', 'ImagePullBackOff', 'RegistryUnavailable']);
/** The registry has answered that there is no such image; words of containerd and CRI-O. */
const NO_SUCH_IMAGE = /: not found$|manifest unknown|repository does not exist/;
/** Events of a start that the pod’s own status says nothing of. Those of a pull are in the status too. */
const NODE_TROUBLE = /^FailedCreatePodSandBox: /;
/** Volumes of our own are folders of the node, so what cannot be mounted is one that the job names. */
const MOUNT_TROUBLE = /^Failed(Mount|AttachVolume|MapVolume): /;
/** What the task mounts is not in the cluster, and on no other node either. */
const NO_SUCH_OBJECT =
  /^Failed(Mount|AttachVolume): .*(secret|configmap|persistentvolumeclaim)s? "[^"]*" not found/s;
/** Somebody may make the object a minute after the job; the kubelet tries again at 64 s, then at 128. */
const OBJECT_PATIENCE_MS = 75_000;
/** The node is at it again and again. */
const START_TROUBLE = new Set(['CreateContainerError', 'RunContainerError', 'ImageInspectError']);

export interface StartLimits {
  /** How long an image that cannot be pulled, or a container that cannot be made, is tried for. */
  readonly pullPatienceMs: number;
  /** How long any start may take, pulls of large images included. */
  readonly startPatienceMs: number;
}

const timeOf = (text: string | undefined, other: number): number =>
  text === undefined ? other : Date.parse(text);

/** Of those that the task's start waits for; other containers of its pod are started beside it. */
const statesOf = (pod: Pod): readonly (ContainerState | undefined)[] => [
  ...(pod.status?.initContainerStatuses ?? []).map(({ state }) => state),
  ...(pod.status?.containerStatuses ?? []).filter(isTaskContainer).map(({ state }) => state),
];

/** A mesh, say, has put a container of its own into the pod, which runs on when the task has ended. */
export const hasCompany = ({ status }: Pod): boolean =>
  [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].some(
    (one) => one.state?.running !== undefined && !isTaskContainer(one),
  );

/** Whether its node still keeps its room: something of it runs there, or may begin. */
export function keepsRoom(pod: Pod): boolean {
  const state = pod.status?.containerStatuses?.find(isTaskContainer)?.state;
  return !isTerminated(pod) && (state?.terminated === undefined || hasCompany(pod));
}

/** Why a pod whose grace is over is not waited for any longer; undefined: it is. */
export function overdueReason(
  { metadata, spec }: Pod,
  nowMs: number,
  patienceMs: number,
): string | undefined {
  const lateMs = nowMs - timeOf(metadata.deletionTimestamp, nowMs);
  if (lateMs <= patienceMs) return undefined;
  const late = `${Math.round(lateMs / 1000)} s after its grace`;
  return `node ${spec.nodeName} has not ended pod ${metadata.name} ${late}; it may still run there`;
}

/** With company the pod itself does not end. */
const isOver = (pod: Pod, state: ContainerState | undefined): boolean =>
  isTerminated(pod) || (state?.terminated !== undefined && hasCompany(pod));

/** `word`: the kubelet's last event on a start that takes its time, if it has been asked for. */
export function standingOf(
  pod: Pod,
  nowMs: number,
  limits: StartLimits,
  word?: StartWord,
): PodStanding {
  const state = pod.status?.containerStatuses?.find(isTaskContainer)?.state;
  const message = state?.terminated?.message;
  const { message: words = '' } = pod.status ?? {};
  if (message?.startsWith('{') === true) {
    const cause = causeOf(pod);
    const isOverScratch = OVER_SCRATCH.test(words);
    return { kind: 'told', message, ...(cause !== undefined && { cause }), isOverScratch };
  }
  if (isOver(pod, state)) return { kind: 'silent', end: silentEnd(pod, state) };
  if (state?.running !== undefined)
    return { kind: 'running', startedAtMs: timeOf(state.running.startedAt, nowMs) };
  return starting(pod, nowMs, limits, word);
}

const join = (...parts: readonly (string | undefined)[]): string =>
  parts.filter((text) => text !== undefined && text !== '').join(': ');

/** Who ended a pod, where that was not its own program. */
function causeOf(pod: Pod): string | undefined {
  const { reason, message, conditions = [] } = pod.status ?? {};
  if (reason !== undefined && reason !== '') return join(reason, message);
  const disruption = conditions.find(
    ({ type, status }) => type === 'DisruptionTarget' && status === 'True',
  );
  if (disruption !== undefined) return join(disruption.reason, disruption.message);
  return pod.metadata.deletionTimestamp === undefined ? undefined : 'deleted, and not by us';
}

/** Of a pod that is gone with no word of its runner. */
export function deletedReason(pod: Pod): string {
  const cause = causeOf(pod) ?? 'deleted, and not by us';
  return cause.startsWith('deleted') ? `its pod was ${cause}` : `its pod was deleted: ${cause}`;
}

interface Wait {
  readonly reason: string;
  readonly message: string;
  readonly word: StartWord | undefined;
  readonly waitedMs: number;
  readonly patienceMs: number;
}

/** Where a start that waits will never come about: on its node, with its mounts, or nowhere at all. */
function hopelessAt(wait: Wait): 'node' | 'mount' | 'everywhere' | undefined {
  const { reason, message, word, waitedMs, patienceMs } = wait;
  if (HOPELESS.has(reason)) return CACHE_LAG.test(message) ? undefined : 'everywhere';
  if (PULL_TROUBLE.has(reason) && NO_SUCH_IMAGE.test(message)) return 'everywhere';
  const { text = '' } = word ?? {};
  const objectPatienceMs = Math.min(patienceMs, OBJECT_PATIENCE_MS);
  if (NO_SUCH_OBJECT.test(text) && waitedMs >= objectPatienceMs) return 'everywhere';
  if (waitedMs < patienceMs) return undefined;
  if (PULL_TROUBLE.has(reason)) return 'everywhere';
  if (MOUNT_TROUBLE.test(text)) return 'mount';
  return NODE_TROUBLE.test(text) || START_TROUBLE.has(reason) ? 'node' : undefined;
}

function starting(pod: Pod, nowMs: number, limits: StartLimits, word?: StartWord): PodStanding {
  const waiting = statesOf(pod).find((one) => one?.waiting !== undefined)?.waiting;
  const { reason = 'Pending', message = '' } = waiting ?? {};
  const words = message === '' && word !== undefined ? word.text : join(reason, message);
  const waitedMs = nowMs - timeOf(pod.metadata.creationTimestamp, nowMs);
  const patienceMs = limits.pullPatienceMs;
  const hopeless = hopelessAt({ reason, message, word, waitedMs, patienceMs });
  const node = `node ${pod.spec.nodeName}`;
  if (hopeless === 'everywhere')
    return { kind: 'silent', end: startError(`could not start: ${words}`) };
  if (hopeless !== undefined) {
    const fault = hopeless === 'mount' ? 'mount' : 'broke';
    return { kind: 'silent', end: lost(`${node} could not start it: ${words}`, fault) };
  }
  if (waitedMs < limits.startPatienceMs) return { kind: 'starting', doing: words };
  const late = `${node} did not start it within ${Math.round(waitedMs / 60_000)} minutes`;
  return { kind: 'silent', end: lost(`${late}: ${words}`) };
}

const startError = (reason: string): SilentEnd => ({ kind: 'start_error', reason, fault: 'none' });
const lost = (reason: string, fault: SilentEnd['fault'] = 'broke'): SilentEnd => ({
  kind: 'lost',
  reason,
  fault,
});

/** How its node ended it, by the reason that the kubelet gave the whole pod. */
function nodesEnd(pod: Pod, where: string): SilentEnd | undefined {
  const { reason = '', message = '' } = pod.status ?? {};
  const end = (kind: OutcomeKind, what: string, fault: SilentEnd['fault'] = 'none'): SilentEnd => ({
    kind,
    reason: `${what}: ${join(reason, message)}`,
    fault,
  });
  if (OVER_SCRATCH.test(message)) return end('signal', 'it filled more scratch than it asked for');
  if (PUT_OUT.has(reason)) return end('reclaimed', `${where} put it out`);
  if (WENT_DOWN.has(reason)) return end('reclaimed', `${where} went down`);
  if (reason === 'DeadlineExceeded') return end('time_limit', 'ended by its pod’s deadline');
  const isRefused = REFUSAL_MESSAGE.test(message) || REFUSALS.some((one) => one.test(reason));
  return isRefused ? end('lost', `${where} refused it`, 'refused') : undefined;
}

function silentEnd(pod: Pod, state: ContainerState | undefined): SilentEnd {
  const where = `node ${pod.spec.nodeName}`;
  const byNode = nodesEnd(pod, where);
  if (byNode !== undefined) return byNode;
  const cause = causeOf(pod);
  const { reason, message } = pod.status ?? {};
  const words = join(reason, message);
  if (cause !== undefined && words === '' && state?.terminated?.reason !== 'OOMKilled')
    return { kind: 'reclaimed', reason: `its pod was ended: ${cause}`, fault: 'none' };
  const init = pod.status?.initContainerStatuses?.find(({ state: of }) => of?.terminated?.exitCode);
  // One that stays ends after the task, and not always well.
  if (init !== undefined && state?.terminated === undefined) {
    const what = init.name === RUNNER_CONTAINER ? 'its runner' : `what ${init.name} brings`;
    return lost(`${what} could not be laid in on ${where}: ${wordsOf(init.state)}`);
  }
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
    const { exitCode } = terminated;
    return { kind: 'out_of_memory', exitCode, reason: told, fault: 'none' };
  }
  if (['ContainerCannotRun', 'StartError'].includes(terminated.reason ?? ''))
    return startError(`could not start: ${terminated.message ?? terminated.reason}`);
  return lost(`its runner left no word on ${where}: ${wordsOf(state)}`);
}
