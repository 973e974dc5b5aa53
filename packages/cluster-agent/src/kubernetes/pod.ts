import { NO_RESOURCES, parseAttemptId, withRequestFloor } from '@majorana/core';
import type { Container, Lease } from '@majorana/protocol';
import { containerSchema } from '@majorana/protocol';
import { attemptOfMember, memberId, nodeRankOf } from './gang-member.ts';
import type { Pod } from './objects.ts';
import { podRequests, readResources, writeResources } from './quantities.ts';

export const AGENT_LABEL = 'majorana.dev/agent';
const ATTEMPT_ANNOTATION = 'majorana.dev/attempt';
/** RANK/NODES. */
const GANG_ANNOTATION = 'majorana.dev/gang';
const TIME_LIMIT_ANNOTATION = 'majorana.dev/time-limit-ms';
/** The container that runs the program, by whose state the attempt is judged. */
const TASK_CONTAINER = 'task';

/** The one before it, which brings the runner. */
export const RUNNER_CONTAINER = 'runner';

const TOKEN_VARIABLE = 'MAJORANA_RUNNER_TOKEN';

export const isTaskContainer = ({ name }: { readonly name: string }): boolean =>
  name === TASK_CONTAINER;

export interface PodOptions {
  readonly agentId: string;
  readonly namespace: string;
  /** Holds the runner at `/majorana-runner` and copies it to where it is told. */
  readonly runnerImage: string;
  /** Of the control plane's API, as pods see it. */
  readonly runnerUrl: string;
  readonly gpuResource: string;
  /** Prefixes of host paths that tasks may mount; none by default. */
  readonly hostPaths: readonly string[];
  /** Tasks may use their node's network; not by default. */
  readonly allowsHostNetwork?: boolean;
  /** User and group that tasks run as, unless their image says another that is not root. */
  readonly runAsUser: number;
  readonly imagePullSecrets: readonly string[];
  /** Annotations of the administrator's own, such as for a mesh to stay out. */
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * `job_42.17.2` is the pod `majorana-42-17-2`, and the second of its gang `majorana-42-17-2-1`: by
 * its name it is made once, however often asked.
 */
export function podName(id: string): string {
  const { jobId, taskIndex, attemptNumber } = parseAttemptId(attemptOfMember(id))!;
  const name = `majorana-${jobId}-${taskIndex}-${attemptNumber}`;
  return nodeRankOf(id) === 0 ? name : `${name}-${nodeRankOf(id)}`;
}

const gangOf = (pod: Pod): { readonly nodeRank: number; readonly nodes: number } => {
  const [nodeRank, nodes] = (pod.metadata.annotations?.[GANG_ANNOTATION] ?? '0/0').split('/');
  return { nodeRank: Number(nodeRank), nodes: Number(nodes) };
};

/** The attempt's id, or that of a member of its gang. */
export const attemptOf = (pod: Pod): string =>
  memberId(pod.metadata.annotations?.[ATTEMPT_ANNOTATION] ?? '', gangOf(pod).nodeRank);

/** The secret of its attempt, which nobody else knows before its pod is made. */
export const tokenOf = ({ spec }: Pod): string | undefined =>
  spec.containers.find(isTaskContainer)?.env?.find(({ name }) => name === TOKEN_VARIABLE)?.value;

/** "//a/./b/" is a, b. */
const steps = (path: string): string[] =>
  path.split('/').filter((step) => step !== '' && step !== '.');

/** The administrator's path that a path of a node is below, and the way from there. */
function allowedRoot(
  path: string,
  { hostPaths }: PodOptions,
): { readonly root: string; readonly below: string } | undefined {
  const wanted = steps(path);
  const root = hostPaths.find((one) => steps(one).every((step, at) => step === wanted[at]));
  if (root === undefined || wanted.includes('..')) return undefined;
  return { root, below: wanted.slice(steps(root).length).join('/') };
}

/** Of the runner and of the kernel: what is mounted there hides them, or ends the start. */
const TAKEN = /^((majorana|proc|sys|dev\/(shm|termination-log))(\/.*)?)?$/s;

function mountRefusal(mount: Container['mounts'][number], options: PodOptions): string | undefined {
  if (TAKEN.test(steps(mount.mountPath).join('/')))
    return `a task cannot mount anything at ${mount.mountPath}`;
  if (mount.kind === 'hostPath' && allowedRoot(mount.path, options) === undefined) {
    const allowed = options.hostPaths.join(', ') || 'none';
    return `this cluster does not let tasks mount ${mount.path} of its nodes; allowed: ${allowed}`;
  }
  if (mount.kind === 'secret' && options.imagePullSecrets.includes(mount.name))
    return 'a secret that images are pulled with is not for tasks to read';
  return undefined;
}

/** Why the policy of this cluster does not let a container be as its job asks; undefined: it does. */
export function refusalOf(container: Container, options: PodOptions): string | undefined {
  if (!containerSchema.safeParse(container).success)
    return 'its container is not as a job may describe it';
  if (container.hasHostNetwork && options.allowsHostNetwork !== true)
    return 'this cluster does not let tasks use the network of its nodes';
  return container.mounts
    .map((mount) => mountRefusal(mount, options))
    .find((refusal) => refusal !== undefined);
}

/**
 * Of a path of the node the administrator's own is the volume, and the rest is followed by the
 * kubelet inside it: a link that another task left there leads nowhere else.
 */
function volumeOf(mount: Container['mounts'][number], name: string, options: PodOptions): object {
  switch (mount.kind) {
    case 'pvc':
      return { name, persistentVolumeClaim: { claimName: mount.claim } };
    case 'nfs':
      return { name, nfs: { server: mount.server, path: mount.path } };
    case 'hostPath':
      return { name, hostPath: { path: allowedRoot(mount.path, options)!.root } };
    case 'configMap':
      return { name, configMap: { name: mount.name } };
    case 'secret':
      return { name, secret: { secretName: mount.name } };
  }
}

function volumeMountOf(
  mount: Container['mounts'][number],
  name: string,
  options: PodOptions,
): object {
  const { mountPath, isReadOnly, kind } = mount;
  const subPath = kind === 'hostPath' ? allowedRoot(mount.path, options)!.below : '';
  return { name, mountPath, readOnly: isReadOnly, ...(subPath !== '' && { subPath }) };
}

const LOCKED = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
};

/**
 * Copies the runner beside the image of the task, which has none. It may use what the task may, which
 * takes no more room, since a node counts the larger of the two: with 10m the kernel slows its start,
 * and that of the task, from 2.0 s to 3.0 s. What it did not name, a limit range would give it.
 */
function installer({ resources }: Lease, options: PodOptions): object {
  const { cpuMillis, memoryBytes, scratchBytes } = withRequestFloor(resources);
  const common = { ...NO_RESOURCES, cpuMillis, memoryBytes, scratchBytes };
  const requests = writeResources(common, { gpu: options.gpuResource });
  return {
    name: RUNNER_CONTAINER,
    image: options.runnerImage,
    args: ['install', '/majorana'],
    resources: { requests, limits: requests },
    securityContext: { ...LOCKED, readOnlyRootFilesystem: true },
    volumeMounts: [{ name: 'majorana', mountPath: '/majorana' }],
  };
}

/** The pod's address is where the head reaches a worker; it is known when the pod runs. */
const gangVariables = ({ attemptId, gang }: Lease): object[] =>
  gang === undefined
    ? []
    : [
        { name: 'MAJORANA_RUNNER_NODE_RANK', value: String(nodeRankOf(attemptId)) },
        {
          name: 'MAJORANA_RUNNER_ADDRESS',
          valueFrom: { fieldRef: { fieldPath: 'status.podIP' } },
        },
      ];

function taskContainer(lease: Lease, container: Container, options: PodOptions): object {
  const names = { gpu: options.gpuResource };
  const requests = writeResources(withRequestFloor(lease.resources), names);
  return {
    name: TASK_CONTAINER,
    image: container.image,
    command: [
      '/majorana/majorana-runner',
      'run',
      '--folder',
      '/majorana/attempt',
      '--grace-ms',
      String(graceSeconds(lease) * 1000),
    ],
    env: [
      { name: 'MAJORANA_RUNNER_URL', value: options.runnerUrl },
      { name: 'MAJORANA_ATTEMPT_ID', value: attemptOfMember(lease.attemptId) },
      { name: TOKEN_VARIABLE, value: lease.runnerToken ?? '' },
      ...gangVariables(lease),
    ],
    resources: { requests, limits: requests },
    securityContext: { ...LOCKED, readOnlyRootFilesystem: container.isRootReadOnly },
    volumeMounts: [
      { name: 'majorana', mountPath: '/majorana' },
      { name: 'shm', mountPath: '/dev/shm' },
      ...container.mounts.map((mount, at) => volumeMountOf(mount, `mount-${at}`, options)),
    ],
  };
}

/**
 * The pod of an attempt on a node. It carries no payload, only where its runner gets it: objects
 * in etcd are to stay below 4 kB.
 */
export function makePod(lease: Lease, nodeName: string, options: PodOptions): object {
  const { container, attemptId, resources, timeLimitMs, gang } = lease;
  if (container === undefined) throw new Error(`${attemptId} names no image`);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: podName(attemptId),
      namespace: options.namespace,
      labels: { [AGENT_LABEL]: options.agentId },
      annotations: {
        ...options.annotations,
        [ATTEMPT_ANNOTATION]: attemptOfMember(attemptId),
        ...(gang && { [GANG_ANNOTATION]: `${nodeRankOf(attemptId)}/${gang.nodes}` }),
        ...(timeLimitMs > 0 && { [TIME_LIMIT_ANNOTATION]: String(timeLimitMs) }),
      },
    },
    spec: {
      nodeName,
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: graceSeconds(lease),
      ...(container.hasHostNetwork && { hostNetwork: true }),
      ...(container.dnsPolicy && { dnsPolicy: container.dnsPolicy }),
      ...(container.tolerations.length > 0 && { tolerations: container.tolerations }),
      ...(options.imagePullSecrets.length > 0 && {
        imagePullSecrets: options.imagePullSecrets.map((name) => ({ name })),
      }),
      securityContext: {
        runAsNonRoot: true,
        runAsUser: options.runAsUser,
        runAsGroup: options.runAsUser,
        fsGroup: options.runAsUser,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      volumes: [
        { name: 'majorana', emptyDir: {} },
        { name: 'shm', emptyDir: { medium: 'Memory', sizeLimit: String(resources.shmBytes) } },
        ...container.mounts.map((mount, at) => volumeOf(mount, `mount-${at}`, options)),
      ],
      initContainers: [installer(lease, options)],
      containers: [taskContainer(lease, container, options)],
    },
  };
}

/**
 * TERM goes to the runner, which gives the checkpoint its time and the program its grace, and needs a
 * moment to store results.
 */
const STORE_SECONDS = 20;
const graceSeconds = ({ checkpoint, graceMs }: Lease): number =>
  Math.ceil(((checkpoint?.timeMs ?? 0) + graceMs) / 1000) + STORE_SECONDS;

/** What of a lease can be read from its pod: all that is needed once it has been made. */
export function leaseOf(pod: Pod, options: PodOptions): Lease {
  const names = { gpu: options.gpuResource };
  const task = pod.spec.containers.find(isTaskContainer);
  const seconds = pod.spec.terminationGracePeriodSeconds ?? STORE_SECONDS;
  const { nodes } = gangOf(pod);
  return {
    attemptId: attemptOf(pod),
    jobName: '',
    argv: [],
    env: {},
    inputs: [],
    outputs: [],
    resources: task?.resources?.requests
      ? readResources(task.resources.requests, names)
      : podRequests(pod, names),
    timeLimitMs: Number(pod.metadata.annotations?.[TIME_LIMIT_ANNOTATION] ?? 0),
    graceMs: (seconds - STORE_SECONDS) * 1000,
    taskCount: 1,
    // Ranks are its runners' business.
    ...(nodes > 0 && { gang: { nodes, ranksPerNode: 1 } }),
  };
}
