import type { KubernetesObject } from '@majorana/test-servers';
import { kubeletObstacle } from '@majorana/test-servers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from './product.ts';
import { IMAGE, NAMESPACE, RealCluster } from './real-cluster.ts';

const POD = `/api/v1/namespaces/${NAMESPACE}/pods/majorana-1-0-1`;
const FOREVER = 'echo up; while :; do busybox sleep 1; done';

const obstacle = kubeletObstacle();
const title = 'a node that seems well, and ends no pod';

interface Node {
  readonly isReady: boolean;
  readonly ourPodCount: number;
  readonly fault: string;
  readonly allocated: { readonly cpuMillis: number };
}
interface Told {
  readonly task: { readonly state: string; readonly reason: string };
}

describe.skipIf(obstacle !== undefined)(
  obstacle === undefined ? title : `${title}: left out, ${obstacle}`,
  () => {
    // Nobody watches over nodes here, so one whose kubelet is dead stays Ready.
    const cluster = new RealCluster(['--node-patience-ms=3000']);
    const { product } = cluster;
    beforeAll(() => cluster.start());
    afterAll(() => cluster[Symbol.asyncDispose]());

    const node = async (): Promise<Node> =>
      (await product.json<{ nodes: Node[] }>('nodes', 'real')).nodes[0]!;
    const pod = (): Promise<KubernetesObject | undefined> =>
      cluster.kubernetes.admin.get<KubernetesObject>(POD).catch(() => undefined);

    test('a cancelled task ends all the same, and its pod keeps its room until it is gone', async () => {
      const options = ['--image', IMAGE, '--cores', '1', '--memory', '64M', '--grace', '1s'];
      const job = await product.ok('submit', ...options, '--', 'sh', '-c', FOREVER);
      await until('its program to begin', async () => (await product.ok('logs', job)) === 'up');
      await until('its pod to be seen', async () => (await node()).ourPodCount === 1);
      await cluster.node.killKubelet();
      await product.ok('cancel', job);
      await product.run('wait', job, '--quiet');
      const { task } = await product.json<Told>('why', `${job}.0`);
      expect(task.state).toBe('cancelled');
      expect(task.reason).toMatch(
        /^cancelled by a user: node node-0 has not ended pod majorana-1-0-1 \d+ s after its grace; it may still run there$/,
      );
      const kept = { isReady: true, ourPodCount: 1, allocated: { cpuMillis: 1000 } };
      expect(await node()).toMatchObject(kept);
      expect((await node()).fault).toContain('has not ended pod majorana-1-0-1');

      await cluster.agent.kill();
      await cluster.agent.start();
      expect(await node()).toMatchObject(kept);
      expect(await pod()).toBeDefined();

      await cluster.node.restartKubelet();
      await until('its room to be free', async () => (await node()).allocated.cpuMillis === 0);
      await until('its pod to be gone', async () => (await pod()) === undefined);
    });
  },
);
