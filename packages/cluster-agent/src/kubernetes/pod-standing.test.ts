import { describe, expect, test } from 'vitest';
import type { ContainerState, Pod } from './objects.ts';
import { deletedReason, keepsRoom, overdueReason, standingOf } from './pod-standing.ts';
import type { StartWord } from './start-words.ts';

const SECOND = 1000;
const LIMITS = { pullPatienceMs: 600 * SECOND, startPatienceMs: 3600 * SECOND };
const CREATED = '2026-11-24T10:54:14Z';
const CREATED_MS = Date.parse(CREATED);
const RUNNER_WORD = '{"version":1,"kind":"ended"}';

interface Parts {
  readonly task?: ContainerState;
  readonly runner?: ContainerState;
  readonly status?: Pod['status'];
  readonly deletionTimestamp?: string;
}

const podOf = ({ task, runner, status, deletionTimestamp }: Parts): Pod => ({
  metadata: {
    name: 'majorana-7-0-1',
    creationTimestamp: CREATED,
    ...(deletionTimestamp !== undefined && { deletionTimestamp }),
  },
  spec: { nodeName: 'node-0', containers: [{ name: 'task' }] },
  status: {
    phase: 'Pending',
    ...(runner && { initContainerStatuses: [{ name: 'runner', state: runner }] }),
    ...(task && { containerStatuses: [{ name: 'task', state: task }] }),
    ...status,
  },
});
const after = (seconds: number, parts: Parts, word?: StartWord) =>
  standingOf(podOf(parts), CREATED_MS + seconds * SECOND, LIMITS, word);

/** A kubelet's own end of a pod that has no container state yet. */
const failed = (reason: string, message: string): Parts => ({
  status: { phase: 'Failed', reason, message },
});
const terminated = (exitCode: number, reason: string, message?: string): ContainerState => ({
  terminated: { exitCode, reason, ...(message !== undefined && { message }) },
});
const waiting = (reason: string, message = ''): ContainerState => ({
  waiting: { reason, message },
});
const DISRUPTED: Pod['status'] = {
  conditions: [
    {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'EvictionByEvictionAPI',
      message: 'Eviction API: evicting',
    },
  ],
};

describe('words of kubelet 1.34 for a pod that never ran', () => {
  test.each([
    [
      'OutOfcpu',
      "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000, used: 200, capacity: 2000",
    ],
    [
      'OutOfmemory',
      "Pod was rejected: Node didn't have enough resource: memory, requested: 966367641600, used: 1639972864, capacity: 25224073216",
    ],
    [
      'OutOfpods',
      "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 110, capacity: 110",
    ],
    [
      'NodeAffinity',
      "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    ],
    [
      'UnexpectedAdmissionError',
      'Pod was rejected: Allocate failed due to requested number of devices unavailable for nvidia.com/gpu. Requested: 1, Available: 0, which is unexpected',
    ],
    ['TopologyAffinityError', 'Pod was rejected: Resources cannot be allocated'],
    ['PodOSNotSupported', 'Pod was rejected: Failed to admit pod'],
    ['OutOfcpu', 'Node did not have enough resource: cpu'],
  ])('%s: refused, since somebody else was faster; the node rests briefly', (reason, message) => {
    const end = { kind: 'lost', fault: 'refused' };
    expect(after(1, failed(reason, message))).toMatchObject({ kind: 'silent', end });
    expect(after(1, failed(reason, message))).toMatchObject({
      end: { reason: `node node-0 refused it: ${reason}: ${message}` },
    });
  });

  test.each([
    ['Evicted', 'The node was low on resource: memory. Threshold quantity: 50Mi', 'put it out'],
    ['Preempting', 'Preempted in order to admit critical pod', 'put it out'],
    ['Terminated', 'Pod was terminated in response to imminent node shutdown.', 'went down'],
    ['NodeShutdown', 'Pod was rejected as the node is shutting down.', 'went down'],
  ])('%s: the machine or the room on it was reclaimed', (reason, message, what) => {
    expect(after(1, failed(reason, message))).toEqual({
      kind: 'silent',
      end: {
        kind: 'reclaimed',
        reason: `node node-0 ${what}: ${reason}: ${message}`,
        fault: 'none',
      },
    });
  });

  test.each([
    'Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ',
    'Container task exceeded its local ephemeral storage limit "10Mi". ',
    'Usage of EmptyDir volume "majorana" exceeds the limit "10Mi". ',
  ])('Evicted for its own disk space, it fails: any other node would fill too: %s', (message) => {
    const end = { kind: 'signal', fault: 'none' };
    expect(after(1, failed('Evicted', message))).toMatchObject({ kind: 'silent', end });
  });

  test('a deadline that somebody set on the pod is a time limit', () => {
    const parts = failed(
      'DeadlineExceeded',
      'Pod was active on the node longer than the specified deadline',
    );
    expect(after(1, parts)).toMatchObject({ end: { kind: 'time_limit', fault: 'none' } });
  });
});

describe('what the kubelet waits for', () => {
  const unreachable =
    'failed to pull and unpack image "majorana.test/no:1": failed to resolve reference "majorana.test/no:1": failed to do request: Head "https://majorana.test/v2/no/manifests/1": dial tcp: connect: network is unreachable';

  test.each(['PodInitializing', 'ContainerCreating'])('%s is a start, for an hour', (reason) => {
    expect(after(3599, { task: waiting(reason) })).toEqual({ kind: 'starting', doing: reason });
    expect(after(3600, { task: waiting(reason) })).toMatchObject({
      kind: 'silent',
      end: {
        kind: 'lost',
        reason: `node node-0 did not start it within 60 minutes: ${reason}`,
        fault: 'broke',
      },
    });
  });

  test.each(['ErrImagePull', 'ImagePullBackOff'])(
    '%s is waited out while the registry may come back',
    (reason) => {
      const task = waiting(reason, unreachable);
      expect(after(599, { task })).toEqual({
        kind: 'starting',
        doing: `${reason}: ${unreachable}`,
      });
      expect(after(600, { task })).toEqual({
        kind: 'silent',
        end: {
          kind: 'start_error',
          reason: `could not start: ${reason}: ${unreachable}`,
          fault: 'none',
        },
      });
    },
  );

  test.each([
    'failed to pull and unpack image "docker.io/no/such:1": failed to resolve reference "docker.io/no/such:1": docker.io/no/such:1: not found',
    'Back-off pulling image "no/such:1": ErrImagePull: failed to resolve reference "docker.io/no/such:1": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed',
    'initializing source docker://no/such:1: reading manifest 1 in docker.io/no/such: manifest unknown',
  ])('an image that its registry does not have ends the task at once: %s', (message) => {
    const end = { kind: 'start_error', reason: `could not start: ErrImagePull: ${message}` };
    expect(after(1, { task: waiting('ErrImagePull', message) })).toMatchObject({ end });
  });

  test.each([
    ['InvalidImageName', `couldn't parse image name "busybox:UP:x": invalid reference format`],
    ['CreateContainerConfigError', 'secret "nosuch" not found'],
    [
      'CreateContainerConfigError',
      'container has runAsNonRoot and image will run as root (pod: "root_majorana", container: task)',
    ],
  ])('%s cannot mend itself: %s', (reason, message) => {
    const end = { kind: 'start_error', reason: `could not start: ${reason}: ${message}` };
    expect(after(1, { task: waiting(reason, message) })).toMatchObject({ end });
  });

  test('a kubelet that has not read a secret yet will', () => {
    const message = 'failed to sync secret cache: timed out waiting for the condition';
    const task = waiting('CreateContainerConfigError', message);
    expect(after(1, { task }).kind).toBe('starting');
  });

  test('a container that its node cannot make is tried for a while, then elsewhere', () => {
    const task = waiting('CreateContainerError', 'context deadline exceeded');
    expect(after(599, { task }).kind).toBe('starting');
    expect(after(600, { task })).toMatchObject({ end: { kind: 'lost', fault: 'broke' } });
  });

  const word = (reason: string, message: string): StartWord => ({ text: `${reason}: ${message}` });

  test('a failed pull is judged by the status alone, which may come after its event', () => {
    const failed = word('Failed', 'Error: ErrImagePull');
    const task = waiting('PodInitializing');
    expect(after(600, { task }, failed)).toEqual({ kind: 'starting', doing: failed.text });
  });

  test('a pull is a start for as long as any, and told as one', () => {
    const pulling = word('Pulling', 'Pulling image "science:1"');
    expect(after(3000, { task: waiting('PodInitializing') }, pulling)).toEqual({
      kind: 'starting',
      doing: 'Pulling: Pulling image "science:1"',
    });
  });

  test('a volume of what is not there is waited for a while, then the task fails', () => {
    const text = 'MountVolume.SetUp failed for volume "mount-0" : secret "nosuch" not found';
    const task = waiting('PodInitializing');
    const mount = word('FailedMount', text);
    expect(after(74, { task }, mount)).toEqual({ kind: 'starting', doing: mount.text });
    expect(after(75, { task }, mount)).toMatchObject({
      end: { kind: 'start_error', reason: `could not start: ${mount.text}`, fault: 'none' },
    });
  });

  test.each([
    ['FailedMount', 'mount failed: exit status 32', 'mount'],
    ['FailedMount', 'exec: "mount.nfs": executable file not found in $PATH', 'mount'],
    ['FailedCreatePodSandBox', 'timed out waiting for the condition', 'broke'],
  ])('a node that cannot do it for long is left for another: %s, %s', (reason, text, fault) => {
    const task = waiting('ContainerCreating');
    expect(after(599, { task }, word(reason, text)).kind).toBe('starting');
    expect(after(600, { task }, word(reason, text))).toMatchObject({
      end: { kind: 'lost', fault },
    });
  });

  test('a pod that no kubelet has looked at is a start', () => {
    expect(after(1, {})).toEqual({ kind: 'starting', doing: 'Pending' });
  });
});

describe('ends of containers', () => {
  const startError =
    'failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/nosuch": stat /nosuch: no such file or directory: unknown';
  const ends = (parts: Parts) =>
    after(1, { ...parts, status: { phase: 'Failed', ...parts.status } });

  test('a container that runs has its start from the node', () => {
    const task = { running: { startedAt: '2026-11-24T10:54:20Z' } };
    expect(after(9, { task })).toEqual({ kind: 'running', startedAtMs: CREATED_MS + 6 * SECOND });
  });

  test('the word of its runner goes before everything the node says', () => {
    const task = terminated(0, 'Completed', RUNNER_WORD);
    expect(after(1, { task })).toMatchObject({ kind: 'told', message: RUNNER_WORD });
    expect(after(1, { task })).not.toHaveProperty('cause');
    expect(ends({ task, status: { reason: 'Evicted', message: 'low on memory' } })).toMatchObject({
      kind: 'told',
      cause: 'Evicted: low on memory',
      isOverScratch: false,
    });
  });

  test.each([
    [{ status: DISRUPTED }, 'EvictionByEvictionAPI: Eviction API: evicting'],
    [{ deletionTimestamp: CREATED }, 'deleted, and not by us'],
  ])('who ended the pod is told beside it', (parts, cause) => {
    const task = terminated(0, 'Completed', RUNNER_WORD);
    expect(after(1, { task, ...parts })).toMatchObject({ kind: 'told', cause });
    const silent = { kind: 'reclaimed', reason: `its pod was ended: ${cause}`, fault: 'none' };
    const killed = { task: terminated(137, 'Error'), ...parts };
    expect(ends(killed)).toEqual({ kind: 'silent', end: silent });
    const early = { runner: terminated(143, 'Error'), ...parts };
    expect(ends(early)).toEqual({ kind: 'silent', end: silent });
  });

  test('a container that the kernel ended for its memory is out of memory', () => {
    expect(ends({ task: terminated(137, 'OOMKilled') })).toMatchObject({
      end: { kind: 'out_of_memory', exitCode: 137, fault: 'none' },
    });
  });

  test('a runner that cannot be run in the image fails the task', () => {
    expect(ends({ task: terminated(128, 'StartError', startError) })).toMatchObject({
      end: { kind: 'start_error', reason: `could not start: ${startError}`, fault: 'none' },
    });
  });

  test.each<[string, Parts]>([
    ['its runner could not be laid in', { runner: terminated(1, 'Error', 'no space left') }],
    ['its runner left no word', { task: terminated(137, 'ContainerStatusUnknown') }],
    ['ended it before it started', {}],
  ])('%s: the node broke, and rests', (what, parts) => {
    expect(ends(parts)).toMatchObject({
      kind: 'silent',
      end: { kind: 'lost', reason: expect.stringContaining(what) as string, fault: 'broke' },
    });
  });
});

describe('containers that somebody else put into the pod', () => {
  const mesh = (state: ContainerState) => ({ name: 'mesh', state });
  const playing = (task: ContainerState, state: ContainerState, phase = 'Running') =>
    after(1, {
      status: { phase, containerStatuses: [mesh(state), { name: 'task', state: task }] },
    });
  const running: ContainerState = { running: {} };

  test('one that runs on does not keep a task that ended without a word', () => {
    expect(playing(terminated(137, 'OOMKilled'), running)).toMatchObject({
      kind: 'silent',
      end: { kind: 'out_of_memory' },
    });
  });

  test('without one the pod’s own end is waited for, which says who ended it', () => {
    const gone = terminated(0, 'Completed');
    expect(playing(terminated(137, 'Error'), gone)).not.toMatchObject({ kind: 'silent' });
  });

  test('one that cannot start is nothing to the task', () => {
    const missing = waiting('ErrImagePull', 'mesh:1: not found');
    expect(playing(running, missing)).toMatchObject({ kind: 'running' });
    expect(playing(waiting('ContainerCreating'), missing, 'Pending')).toEqual({
      kind: 'starting',
      doing: 'ContainerCreating',
    });
  });

  test('how a native sidecar ended is not taken for how the task’s start did', () => {
    const initContainerStatuses = [mesh(terminated(143, 'Error'))];
    const failed = { phase: 'Failed', initContainerStatuses };
    const task = terminated(137, 'OOMKilled');
    expect(after(1, { task, status: failed })).toMatchObject({ end: { kind: 'out_of_memory' } });
    expect(after(1, { status: failed })).toMatchObject({
      end: { kind: 'lost', reason: expect.stringContaining('what mesh brings') as string },
    });
  });
});

test.each([
  [{ status: DISRUPTED }, 'its pod was deleted: EvictionByEvictionAPI: Eviction API: evicting'],
  [{ deletionTimestamp: CREATED }, 'its pod was deleted, and not by us'],
  [{}, 'its pod was deleted, and not by us'],
])('of a pod that is gone it is told who deleted it, if the cluster says', (parts, reason) => {
  expect(deletedReason(podOf(parts))).toBe(reason);
});

test('a pod keeps its room until all of it has ended', () => {
  const mesh = { name: 'mesh', state: { running: {} } };
  const ended = { name: 'task', state: terminated(0, 'Completed') };
  expect(keepsRoom(podOf({}))).toBe(true);
  expect(keepsRoom(podOf({ task: waiting('ContainerCreating') }))).toBe(true);
  expect(keepsRoom(podOf({ task: { running: {} } }))).toBe(true);
  expect(keepsRoom(podOf({ status: { containerStatuses: [mesh, ended] } }))).toBe(true);
  expect(keepsRoom(podOf({ task: ended.state }))).toBe(false);
  expect(keepsRoom(podOf(failed('OutOfcpu', 'Pod was rejected: …')))).toBe(false);
});

test('a pod is overdue when its grace is over for longer than its node is waited for', () => {
  const lateFor = (seconds: number, deletionTimestamp?: string) => {
    const pod = podOf({ ...(deletionTimestamp !== undefined && { deletionTimestamp }) });
    return overdueReason(pod, CREATED_MS + seconds * SECOND, 300 * SECOND);
  };
  expect(lateFor(100_000)).toBeUndefined();
  expect(lateFor(300, CREATED)).toBeUndefined();
  expect(lateFor(301, CREATED)).toBe(
    'node node-0 has not ended pod majorana-7-0-1 301 s after its grace; it may still run there',
  );
});
