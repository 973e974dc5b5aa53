import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import type { KubernetesObject, TestNode } from '@majorana/test-servers';
import { busyboxImage, kubeletObstacle, PodWebhook } from '@majorana/test-servers';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { until } from './product.ts';
import { IMAGE, NAMESPACE, RealCluster } from './real-cluster.ts';

const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
const STRANGERS = '/api/v1/namespaces/default/pods';
/** On the first node only. */
const RARE = 'majorana.test/rare:1';
/** On the second node only; the first would go before it by its name. */
const OF_SECOND = 'docker.io/library/second:1';
const FOREVER = 'echo up; while :; do busybox sleep 1; done';

interface Pod extends KubernetesObject {
  readonly spec: { readonly nodeName: string };
}
interface Node extends KubernetesObject {
  readonly status: { readonly images: readonly { readonly names: readonly string[] }[] };
}
interface Told {
  readonly task: { readonly state: string; readonly retryCount: number };
  readonly attempts: readonly { readonly outcome: string | null; readonly reason: string }[];
  readonly explanation: { readonly sentence: string };
}

const obstacle = kubeletObstacle();
const title = 'two real nodes';

describe.skipIf(obstacle !== undefined)(
  obstacle === undefined ? title : `${title}: left out, ${obstacle}`,
  () => {
    const cluster = new RealCluster(['--pull-patience-ms=8000'], { controllerManager: true });
    const { product } = cluster;
    let second: TestNode;
    let silentRegistry: Server;
    beforeAll(async () => {
      await cluster.start();
      second = await cluster.addNode('node-1');
      await cluster.node.addImage(busyboxImage(RARE));
      await second.addImage(busyboxImage(OF_SECOND));
      silentRegistry = createServer();
      await new Promise<void>((resolve) =>
        silentRegistry.listen(0, second.hostAddress, () => resolve()),
      );
    });
    afterAll(async () => {
      silentRegistry?.close();
      await cluster[Symbol.asyncDispose]();
    });

    const pods = async (): Promise<readonly Pod[]> =>
      (await cluster.kubernetes.admin.get<{ items: Pod[] }>(PODS)).items;
    afterEach(() => until('no pod to be left', async () => (await pods()).length === 0));

    /** A node of two cores has room for one of its pods. */
    const submit = (image = IMAGE): Promise<string> => {
      const gang = ['--nodes', '2', '--cores', '1.1', '--memory', '100M'];
      const options = ['--image', image, ...gang, '--grace', '1s', '--retries', '0'];
      return product.ok('submit', ...options, '--', 'sh', '-c', FOREVER);
    };
    const told = (job: string): Promise<Told> => product.json<Told>('why', `${job}.0`);
    const begun = (job: string): Promise<unknown> =>
      until('its program to begin', async () => (await product.ok('logs', job)) === 'up');
    const worker = (job: string): string => `majorana-${job.replace('job_', '')}-0-1-1`;
    const nodeOf = async (name: string): Promise<string> =>
      (await cluster.kubernetes.admin.get<Pod>(`${PODS}/${name}`)).spec.nodeName;
    /** Both of its pods have gone by then. */
    const firstEnd = async (job: string): Promise<Told['attempts'][number]> => {
      const { attempts } = await until('its first attempt to end', async () => {
        const state = await told(job);
        return (state.attempts[0]?.outcome ?? null) !== null && state;
      });
      return attempts[0]!;
    };
    const cancelled = async (job: string): Promise<Told> => {
      await product.ok('cancel', job);
      await product.run('wait', job, '--quiet');
      return told(job);
    };

    test('a gang fails as a whole when one of its nodes cannot pull the image', async () => {
      const job = await submit(RARE);
      await product.run('wait', job, '--quiet');
      const { task, attempts } = await told(job);
      expect(task.state).toBe('failed');
      expect(attempts).toMatchObject([{ outcome: 'start_error' }]);
      expect(attempts[0]!.reason).toMatch(/^node 1 of its 2: could not start: .*rare:1/);
    });

    test('a gang is cancelled at once while one of its nodes pulls', async () => {
      const { port } = silentRegistry.address() as AddressInfo;
      const image = `${second.hostAddress}:${port}/slow:1`;
      await cluster.node.addImage(busyboxImage(image));
      const job = await submit(image);
      await until('the words of the node that pulls', async () =>
        /Pulling image .*slow:1", on node node-1/.test((await told(job)).explanation.sentence),
      );
      const { task, attempts } = await cancelled(job);
      expect(task.state).toBe('cancelled');
      expect(attempts).toMatchObject([{ outcome: 'cancelled' }]);
    });

    test('a gang is reclaimed, uncounted, when a taint puts one of its pods out, and keeps its log', async () => {
      const job = await submit();
      await begun(job);
      const node = `/api/v1/nodes/${await nodeOf(worker(job))}`;
      const taints = [{ key: 'majorana.test/out', value: 'now', effect: 'NoExecute' }];
      await cluster.kubernetes.admin.request('PATCH', node, { spec: { taints } });
      const { outcome, reason } = await firstEnd(job);
      expect(outcome).toBe('reclaimed');
      expect(reason).toMatch(/^node 1 of its 2: its pod was ended .*NoExecute taint/);
      expect(await product.ok('logs', job, '--attempt', '1')).toBe('up');
      expect((await told(job)).task).toMatchObject({ state: 'queued', retryCount: 0 });
      expect((await cancelled(job)).attempts).toHaveLength(1);
      await cluster.kubernetes.admin.request('PATCH', node, { spec: { taints: null } });
    });

    test('a gang goes back, uncounted, when somebody was faster on one of its nodes', async () => {
      await using webhook = await PodWebhook.start(cluster.kubernetes);
      const { admin } = cluster.kubernetes;
      webhook.before = async ({ metadata, ...pod }) => {
        if (!metadata.name.endsWith('-0-1-1')) return;
        const { nodeName } = (pod as unknown as Pod).spec;
        const resources = { requests: { cpu: '1' } };
        const containers = [{ name: 'a', image: IMAGE, command: ['sh', '-c', FOREVER], resources }];
        const spec = { nodeName, containers, terminationGracePeriodSeconds: 0 };
        const faster = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'faster' }, spec };
        await admin.create(STRANGERS, faster);
      };
      const job = await submit();
      const { outcome, reason } = await firstEnd(job);
      expect(outcome).toBe('lost');
      expect(reason).toMatch(/^node 1 of its 2: node node-\d refused it: OutOfcpu/);
      expect((await told(job)).task.retryCount).toBe(0);
      await admin.delete(`${STRANGERS}/faster`, 0);
      await cancelled(job);
    });

    test('a gang keeps what its program said when a worker is taken away before both were seen to run', async () => {
      const job = await submit();
      await begun(job);
      await cluster.kubernetes.admin.delete(`${PODS}/${worker(job)}`, 0);
      const { outcome, reason } = await firstEnd(job);
      expect(outcome).toBe('lost');
      expect(reason).toBe('node 1 of its 2: its pod was deleted, and not by us');
      expect(await product.ok('logs', job, '--attempt', '1')).toBe('up');
      await cancelled(job);
    });

    test('of equal nodes the one that has the image is taken, by its short name too', async () => {
      // A kubelet tells of a new image within half a minute.
      await until('the kubelet to tell of its image', async () => {
        const { status } = await cluster.kubernetes.admin.get<Node>('/api/v1/nodes/node-1');
        return status.images.some(({ names }) => names.includes(OF_SECOND));
      });
      const options = ['--image', 'second:1', '--cores', '0.1', '--grace', '1s'];
      const job = await product.ok('submit', ...options, '--', 'sh', '-c', FOREVER);
      await begun(job);
      expect(await nodeOf(`majorana-${job.replace('job_', '')}-0-1`)).toBe('node-1');
      await cancelled(job);
    });
  },
);
