import { existsSync, globSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KubernetesObject, TestKubernetes, TestNode } from '../index.ts';
import { busyboxImage, kubeletObstacle, startKubelet, startKubernetes } from '../index.ts';

const PODS = '/api/v1/namespaces/default/pods';
const obstacle = kubeletObstacle();
const title = obstacle === undefined ? 'a real kubelet' : `a real kubelet: left out, ${obstacle}`;

interface Pod extends KubernetesObject {
  readonly status: {
    readonly phase: string;
    readonly containerStatuses?: readonly { readonly state: object }[];
  };
}

/** What a node could leave behind: its link, control groups, mounts. */
function tracesOf({ folder, hostAddress }: TestNode): string[] {
  const links = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const name = path.basename(folder);
  return [
    ...links.map(({ address }) => address).filter((address) => address === hostAddress),
    ...globSync(`/sys/fs/cgroup/{,*/}${name}`),
    ...readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(name)),
  ];
}

describe.skipIf(obstacle !== undefined)(title, () => {
  let kubernetes: TestKubernetes;
  let node: TestNode;

  beforeAll(async () => {
    kubernetes = await startKubernetes();
    node = await startKubelet(kubernetes, { labels: { 'majorana.test/kind': 'real' } });
    await node.addImage(busyboxImage());
  });

  afterAll(async () => {
    await node?.[Symbol.asyncDispose]();
    await kubernetes?.[Symbol.asyncDispose]();
  });

  const createPod = async (name: string, script: string, more: object = {}): Promise<void> => {
    const command = ['/bin/sh', '-c', script];
    const container = { name: 'task', image: 'majorana.test/busybox:1', command, ...more };
    const spec = { nodeName: node.name, restartPolicy: 'Never', containers: [container] };
    const metadata = { name };
    await kubernetes.admin.create(PODS, { apiVersion: 'v1', kind: 'Pod', metadata, spec });
  };
  const reach = (name: string, ...phases: readonly string[]): Promise<Pod> =>
    until(`${name} to be ${phases.join(' or ')}`, async () => {
      const pod = await kubernetes.admin.get<Pod>(`${PODS}/${name}`);
      return phases.includes(pod.status.phase) && pod;
    });
  const stateOf = (pod: Pod): object | undefined => pod.status.containerStatuses?.[0]?.state;

  test('a program that ends with 3 fails its pod, and its output is read through the API server', async () => {
    await createPod('three', 'echo said; exit 3');
    const pod = await reach('three', 'Succeeded', 'Failed');
    expect(stateOf(pod)).toMatchObject({ terminated: { exitCode: 3, reason: 'Error' } });
    expect(await kubernetes.admin.text(`${PODS}/three/log`)).toBe('said\n');
  });

  test('a program over its memory limit ends with 137, OOMKilled', async () => {
    const resources = { limits: { memory: '32Mi' } };
    await createPod('hungry', 'exec busybox tail /dev/zero', { resources });
    const pod = await reach('hungry', 'Succeeded', 'Failed');
    expect(stateOf(pod)).toMatchObject({ terminated: { exitCode: 137, reason: 'OOMKilled' } });
  });

  test('a pod goes on while the kubelet is dead, and its end is told when that is back', async () => {
    await createPod('alone', 'busybox sleep 1; exit 5');
    await reach('alone', 'Running');
    await node.killKubelet();
    expect(stateOf(await reach('alone', 'Running'))).toHaveProperty('running');
    await node.restartKubelet();
    const pod = await reach('alone', 'Failed');
    expect(stateOf(pod)).toMatchObject({ terminated: { exitCode: 5 } });
  });

  test('a pod reaches a server of the test at the address of this machine', async () => {
    const server = createServer((_request, response) => response.end('reached'));
    await new Promise<void>((resolve) => server.listen(0, node.hostAddress, resolve));
    const { port } = server.address() as AddressInfo;
    await createPod('caller', `busybox wget -q -O - http://${node.hostAddress}:${port}/`);
    await reach('caller', 'Succeeded');
    expect(await kubernetes.admin.text(`${PODS}/caller/log`)).toBe('reached');
    server.close();
  });

  test('a pod that is deleted is told to end, and goes', async () => {
    await createPod('told', 'busybox sleep 1000');
    await reach('told', 'Running');
    await kubernetes.admin.delete(`${PODS}/told`, 1);
    await until('the pod to be gone', () =>
      kubernetes.admin.get(`${PODS}/told`).then(
        () => false,
        (error: { status?: number }) => error.status === 404,
      ),
    );
  });

  test('a node that is stopped leaves no link, no control group and no mount', async () => {
    const other = await startKubelet(kubernetes, { name: 'node-1' });
    expect(tracesOf(other).length).toBeGreaterThan(1);
    await other[Symbol.asyncDispose]();
    expect(tracesOf(other)).toEqual([]);
    expect(existsSync(other.folder)).toBe(false);
  });
});
