import type { PatchStep } from '@majorana/test-servers';
import { kubeletObstacle, PodWebhook } from '@majorana/test-servers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from './product.ts';
import { IMAGE, NAMESPACE, RealCluster } from './real-cluster.ts';

const obstacle = kubeletObstacle();
const title = obstacle === undefined ? 'a real kubelet' : `a real kubelet: left out, ${obstacle}`;

const SIDECAR = {
  name: 'mesh',
  image: IMAGE,
  command: ['sh', '-c', 'trap "exit 0" TERM; while :; do busybox sleep 1; done'],
  resources: { requests: { cpu: '50m', memory: '16Mi' } },
};
const add = (path: string, value: object): PatchStep => ({ op: 'add', path, value });

describe.skipIf(obstacle !== undefined)(title, () => {
  const cluster = new RealCluster();
  const { product } = cluster;
  let webhook: PodWebhook;
  beforeAll(async () => {
    await cluster.start();
    webhook = await PodWebhook.start(cluster.kubernetes);
  });
  afterAll(async () => {
    await webhook?.[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  const podCount = async (): Promise<number> => {
    const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
    return (await cluster.kubernetes.admin.get<{ items: object[] }>(path)).items.length;
  };

  test.each([
    ['container before it', add('/spec/containers/0', SIDECAR)],
    ['native sidecar', add('/spec/initContainers/0', { ...SIDECAR, restartPolicy: 'Always' })],
  ])(
    'a task ends with its own exit code beside a %s that runs on, and its pod goes',
    async (_, step) => {
      webhook.verdict = { patch: [step] };
      const size = ['--cores', '0.1', '--memory', '64M'];
      const words = ['--', 'sh', '-c', 'echo said; exit 3'];
      const job = await product.ok('submit', '--image', IMAGE, ...size, ...words);
      await product.run('wait', job, '--quiet');
      const { attempts } = await product.json<{ attempts: object[] }>('why', `${job}.0`);
      expect(attempts).toMatchObject([{ outcome: 'exit_code', exitCode: 3 }]);
      expect(await product.ok('logs', job)).toBe('said');
      await until('its pod to be gone', async () => (await podCount()) === 0);
    },
  );
});
