import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ClusterView } from '@majorana/protocol';
import type { KubernetesObject, TestKubernetes, TestNode } from '@majorana/test-servers';
import {
  busyboxImage,
  isBuilt,
  kubeletObstacle,
  requireProgram,
  startKubelet,
  startKubernetes,
} from '@majorana/test-servers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { imagePath, imagesObstacle } from '../tools/build-images.ts';
import { Product, until } from './product.ts';

const SYSTEM = 'majorana-system';
const DEPLOYMENT = 'deploy/majorana-agent';
const IMAGE = 'majorana.test/busybox:1';
const run = promisify(execFile);
const deploy = fileURLToPath(new URL('../deploy/kubernetes', import.meta.url));
const proxyObstacle = isBuilt('proxy') ? undefined : 'npm run kubernetes:build proxy';
const obstacle = kubeletObstacle() ?? imagesObstacle() ?? proxyObstacle;
const subject = 'the agent as a pod of its cluster';

interface Told {
  readonly task: { readonly state: string; readonly reason: string; readonly retryCount: number };
  readonly attempts: readonly { readonly outcome: string | null }[];
}
interface AgentPod extends KubernetesObject {
  readonly metadata: KubernetesObject['metadata'] & { readonly deletionTimestamp?: string };
  readonly status: {
    readonly containerStatuses?: readonly {
      readonly ready: boolean;
      readonly containerID?: string;
      readonly restartCount: number;
    }[];
  };
}

/** Tasks ask it whether they may end. */
async function startGate(
  address: string,
): Promise<AsyncDisposable & { url: string; open(): void }> {
  let isOpen = false;
  const server = createServer((_request, response) => {
    response.statusCode = isOpen ? 200 : 404;
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${address}:${port}/`,
    open: () => (isOpen = true),
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The first process of a container of this machine. */
async function processOf({ status }: AgentPod): Promise<number> {
  const id = /[0-9a-f]{64}/.exec(status.containerStatuses?.[0]?.containerID ?? '')![0];
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const groups = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')),
  );
  const own = pids.filter((_, at) => groups[at]!.includes(id)).toSorted((a, b) => a - b);
  if (own[0] === undefined) throw new Error(`no process is of the container ${id}`);
  return own[0];
}

describe.skipIf(obstacle !== undefined)(
  obstacle ? `${subject}: left out, ${obstacle}` : subject,
  () => {
    const product = new Product();
    let kubernetes: TestKubernetes;
    let node: TestNode;

    const kubectl = async (...args: string[]): Promise<string> => {
      const access = `--kubeconfig=${kubernetes.adminKubeconfig}`;
      const cache = `--cache-dir=${path.join(kubernetes.folder, 'kubectl-cache')}`;
      return (await run(requireProgram('kubectl'), [access, cache, ...args])).stdout;
    };
    const inAgent = (script: string): Promise<string> =>
      kubectl('-n', SYSTEM, 'exec', DEPLOYMENT, '--', 'sh', '-c', script);
    const agentPods = async (): Promise<AgentPod[]> =>
      (
        await kubernetes.admin.get<{ items: AgentPod[] }>(`/api/v1/namespaces/${SYSTEM}/pods`)
      ).items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const submit = (...words: string[]): Promise<string> =>
      product.ok('submit', '--image', IMAGE, '--cores=0.1', '--memory=64M', '--', ...words);
    const ended = async (job: string): Promise<Told> => {
      await product.run('wait', job, '--quiet');
      return product.json<Told>('why', `${job}.0`);
    };

    beforeAll(async () => {
      kubernetes = await startKubernetes({ controllerManager: true, scheduler: true });
      node = await startKubelet(kubernetes, { services: true });
      await node.importImage(imagePath('agent'));
      await node.importImage(imagePath('runner'));
      await node.addImage(busyboxImage(IMAGE));
      await product.ok('up', '--detach', '--host', node.hostAddress);
    });
    afterAll(async () => {
      await product[Symbol.asyncDispose]();
      await node?.[Symbol.asyncDispose]();
      await kubernetes?.[Symbol.asyncDispose]();
    });

    test('it connects by what the page "connect a cluster" says, and its node is seen', async () => {
      await kubectl('apply', '-k', deploy);
      const { url } = await product.json<{ url: string }>('status');
      const access = `--kubeconfig=${kubernetes.adminKubeconfig}`;
      const add = ['clusters', 'add', 'lab', access, '--url', url, '--print-manifest'];
      const manifest = path.join(kubernetes.folder, 'settings.yaml');
      await writeFile(manifest, await product.ok(...add), { mode: 0o600 });
      await kubectl('apply', '-f', manifest);
      const seen = await until(
        'a report of the cluster',
        async () => {
          const view = await product.json<ClusterView>('clusters', 'show', 'lab');
          return view.isConnected && (view.report?.nodes.count ?? 0) > 0 && view;
        },
        120_000,
      );
      expect(seen.report).toMatchObject({ kubernetesVersion: 'v1.34.4', nodes: { ready: 1 } });
      expect(await kubectl('-n', SYSTEM, 'logs', DEPLOYMENT)).toContain('the agent is ready');
    });

    test('it is no root, has no capability, and can write nowhere but to /tmp', async () => {
      expect(
        await inAgent('id -u; id -g; grep -E "^(CapEff|NoNewPrivs|Seccomp):" /proc/1/status'),
      ).toBe(`10001\n10001\nCapEff:\t${'0'.repeat(16)}\nNoNewPrivs:\t1\nSeccomp:\t2\n`);
      await expect(inAgent('touch /majorana/x')).rejects.toThrow('Read-only file system');
      // Compiled code is kept where it may be, so that a container that starts again starts faster.
      expect(await inAgent('ls /tmp/compile')).toMatch(/^v24\./);
      expect(await inAgent('stat -L -c %a /run/majorana/token')).toBe('440\n');
    });

    test('a task runs in a pod that it makes, and its log is kept', async () => {
      const job = await submit('sh', '-c', 'echo said');
      const { task } = await ended(job);
      expect(task).toMatchObject({ state: 'succeeded', reason: 'exit code 0' });
      expect(await product.ok('logs', job)).toBe('said');
    });

    test.each([
      ['told to end', []],
      ['taken away at once', ['--force', '--grace-period=0']],
    ])(
      'when it is %s its Deployment makes another, and a task that runs ends once',
      async (_how, more) => {
        await using gate = await startGate(node.hostAddress);
        const script = `echo up; until busybox wget -q -O - ${gate.url} 2>/dev/null; do busybox sleep 0.2; done`;
        const job = await submit('sh', '-c', script);
        await until('the task to run', async () => (await product.ok('logs', job)).includes('up'));
        const [old] = await agentPods();
        await kubectl('-n', SYSTEM, 'delete', 'pod', old!.metadata.name, ...more);
        const next = await submit('sh', '-c', 'true');
        await until('another agent', async () =>
          (await agentPods()).some(
            ({ metadata, status }) =>
              metadata.name !== old!.metadata.name && status.containerStatuses?.[0]?.ready === true,
          ),
        );
        expect((await ended(next)).task.state).toBe('succeeded');
        gate.open();
        const { task, attempts } = await ended(job);
        expect(task).toMatchObject({ state: 'succeeded', reason: 'exit code 0', retryCount: 0 });
        expect(attempts).toMatchObject([{ outcome: 'succeeded' }]);
        expect(await product.ok('logs', job)).toBe('up');
      },
    );

    test('of two replicas one acts; when it is killed one takes over, and a task that runs ends once', async () => {
      await kubectl('-n', SYSTEM, 'scale', DEPLOYMENT, '--replicas=2');
      const logOf = ({ metadata: { name } }: AgentPod): Promise<string> =>
        kubectl('-n', SYSTEM, 'logs', name);
      const isActing = async (pod: AgentPod): Promise<boolean> =>
        (await logOf(pod)).includes('the agent is ready');
      const both = await until('two agents', async () => {
        const pods = await agentPods();
        const ready = pods.filter(({ status }) => status.containerStatuses?.[0]?.ready === true);
        return ready.length === 2 && ready;
      });
      const acting = await until('one of them to act', async () => {
        for (const pod of both) if (await isActing(pod)) return pod;
        return undefined;
      });
      const idle = both.find((pod) => pod !== acting)!;
      await using gate = await startGate(node.hostAddress);
      const script = `echo up; until busybox wget -q -O - ${gate.url} 2>/dev/null; do busybox sleep 0.2; done`;
      const job = await submit('sh', '-c', script);
      await until('the task to run', async () => (await product.ok('logs', job)).includes('up'));
      expect(await isActing(idle)).toBe(false);
      // The container is started again by its kubelet, and stands by then too.
      process.kill(await processOf(acting), 'SIGKILL');
      const next = await submit('sh', '-c', 'true');
      expect((await ended(next)).task.state).toBe('succeeded');
      await until('it to be started again', async () =>
        (await agentPods()).some(({ status }) => status.containerStatuses?.[0]?.restartCount === 1),
      );
      gate.open();
      const { task, attempts } = await ended(job);
      expect(task).toMatchObject({ state: 'succeeded', reason: 'exit code 0', retryCount: 0 });
      expect(attempts).toMatchObject([{ outcome: 'succeeded' }]);
      const areActing = await Promise.all(both.map(isActing));
      expect(areActing.filter((is) => is)).toHaveLength(1);
    });
  },
);
