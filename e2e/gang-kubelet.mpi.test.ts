import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { KubernetesObject } from '@majorana/test-servers';
import { kubeletObstacle, mpiImage, MPICH, mpiObstacle, OPEN_MPI } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NAMESPACE, RealCluster } from './real-cluster.ts';

const USER = 4321;
const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
const SMALL = ['--cores', '0.2', '--memory', '200M'];

const IMPLEMENTATIONS = [
  { ...OPEN_MPI, image: 'majorana.test/open-mpi:1' },
  { ...MPICH, image: 'majorana.test/mpich:1' },
] as const;
const [{ image: IMAGE }] = IMPLEMENTATIONS;

const obstacle = kubeletObstacle() ?? mpiObstacle(OPEN_MPI);
const title = 'MPI on a real kubelet';

interface Told {
  readonly attempts: readonly { readonly outcome: string; readonly reason: string }[];
}

describe.skipIf(obstacle !== undefined)(
  obstacle === undefined ? title : `${title}: left out, ${obstacle}`,
  () => {
    const cluster = new RealCluster([`--run-as-user=${USER}`]);
    const { product } = cluster;

    beforeAll(async () => {
      await cluster.start();
      for (const mpi of IMPLEMENTATIONS.filter((one) => mpiObstacle(one) === undefined))
        await cluster.node.addImage(mpiImage(mpi, mpi.image, product.data, USER));
    });
    afterAll(() => cluster[Symbol.asyncDispose]());

    const submit = (
      options: readonly string[],
      words: readonly string[],
      image: string = IMAGE,
    ): Promise<string> =>
      product.ok(
        'submit',
        '--image',
        image,
        ...SMALL,
        '--retries',
        '0',
        '--grace',
        '2s',
        ...options,
        '--',
        ...words,
      );
    const ended = async (id: string): Promise<Told> => {
      await product.run('wait', id, '--quiet');
      return product.json<Told>('why', `${id}.0`);
    };
    const noPods = (): Promise<unknown> =>
      until('no pod to be left', async () => {
        const { items } = await cluster.kubernetes.admin.get<{ items: KubernetesObject[] }>(PODS);
        return items.length === 0;
      });
    const isUp = (id: string): Promise<unknown> =>
      until('the ranks to run', async () =>
        (await product.run('logs', id)).stdout.includes('rank 1 of 2'),
      );

    describe.each(IMPLEMENTATIONS)('$title', (mpi) => {
      const missing = mpiObstacle(mpi);

      test.skipIf(missing)('two ranks on each of two pods add up', async () => {
        const options = ['--nodes', '2', '--ranks-per-node', '2'];
        const id = await submit(options, ['mpirun', 'sum'], mpi.image);
        expect((await ended(id)).attempts).toMatchObject([{ outcome: 'succeeded' }]);
        expect((await product.ok('logs', id)).split('\n').toSorted()).toEqual([
          'rank 0 of 4 on node 0: sum 6',
          'rank 1 of 4 on node 0: sum 6',
          'rank 2 of 4 on node 1: sum 6',
          'rank 3 of 4 on node 1: sum 6',
        ]);
        await noPods();
      });

      test.skipIf(missing)('a killed rank ends the program, and mpirun says which', async () => {
        const id = await submit(['--nodes', '2'], ['mpirun', 'sum', 'die'], mpi.image);
        expect((await ended(id)).attempts).toMatchObject([{ outcome: 'exit_code' }]);
        const { stdout, stderr } = await product.run('logs', id, '--stderr');
        expect((await product.ok('logs', id)) + stdout + stderr).toMatch(mpi.killed);
        await noPods();
      });
    });

    test('the nodes of a gang may have their host’s network', async () => {
      const id = await submit(['--nodes', '2', '--host-network'], ['mpirun', 'sum']);
      expect((await ended(id)).attempts).toMatchObject([{ outcome: 'succeeded' }]);
      expect(await product.ok('logs', id)).toContain('rank 1 of 2 on node 1: sum 1');
      await noPods();
    });

    test('programs of a gang that is no MPI find one another by their addresses', async () => {
      const script = `
        { read head name; read second node; } < $MAJORANA_HOSTS
        busybox nc -l -p 4711 > heard &
        $MAJORANA_LAUNCHER $node "until busybox hostname -i | busybox nc $head 4711; do busybox sleep 0.1; done"
        wait
        test "$(busybox cat heard)" = "$second" && echo "heard of $node"`;
      const id = await submit(['--nodes', '2'], ['sh', '-c', script]);
      const told = await ended(id);
      expect(told.attempts).toMatchObject([{ outcome: 'succeeded' }]);
      const second = `majorana-${id.replace('job_', '')}-0-1-1`;
      expect(await product.ok('logs', id)).toBe(`heard of ${second}`);
      await noPods();
    });

    test('a step of a workflow may be a gang, and its result is taken the second time', async () => {
      const flow = path.join(product.data, 'gang.yaml');
      writeFileSync(
        flow,
        `
name: gang
steps:
  add:
    argv: [sh, -c, 'mpirun sum > sums.txt']
    container: { image: '${IMAGE}' }
    gang: { nodes: 2, ranksPerNode: 2 }
    resources: { cpuMillis: 200, memoryBytes: 200000000 }
    outputs: [sums.txt]
outputs:
  sums: add/sums.txt
`,
      );
      const first = await product.ok('workflow', 'run', flow, '--quiet');
      expect(first).not.toContain('reused');
      const id = /^run_\d+/.exec(first)![0];
      const out = path.join(product.data, 'gang');
      await product.ok('workflow', 'results', id, '-o', out);
      const sums = readFileSync(path.join(out, 'sums/sums.txt'), 'utf8');
      expect(sums.match(/^rank \d of 4 on node [01]: sum 6$/gm)).toHaveLength(4);
      await noPods();
      expect(await product.ok('workflow', 'run', flow, '--quiet')).toContain('reused');
    });

    test('a rank that takes more memory than its node has ends the gang with that', async () => {
      const id = await submit(['--nodes', '2'], ['mpirun', 'sum', 'fill']);
      const { attempts } = await ended(id);
      expect(attempts).toMatchObject([{ outcome: 'out_of_memory' }]);
      expect(attempts[0]!.reason).toContain('node 1 of its 2: out of memory');
      expect(await product.ok('logs', id)).toContain('rank 0 of 2 on node 0: sum 1');
      await noPods();
    });

    test('a worker’s pod that is deleted ends the gang, and the head’s log is kept', async () => {
      const id = await submit(['--nodes', '2'], ['mpirun', 'sum', 'hold']);
      await isUp(id);
      await cluster.kubernetes.admin.delete(`${PODS}/majorana-${id.replace('job_', '')}-0-1-1`);
      const [first] = await until('the first attempt to end', async () => {
        const { attempts } = await product.json<Told>('why', `${id}.0`);
        return attempts[0]!.outcome !== null && attempts;
      });
      expect(first!.reason).toContain('node 1 of its 2: its pod was ended');
      expect(await product.ok('logs', id, '--attempt', '1')).toContain('rank 0 of 2');
      await product.ok('cancel', id);
      await noPods();
    });

    test('a cancelled gang ends within its grace and leaves nothing', async () => {
      const id = await submit(['--nodes', '2'], ['mpirun', 'sum', 'hold']);
      await isUp(id);
      await product.ok('cancel', id);
      expect((await ended(id)).attempts).toMatchObject([{ outcome: 'cancelled' }]);
      expect(await product.ok('logs', id)).toContain('rank 0 of 2');
      await noPods();
    });
  },
);
