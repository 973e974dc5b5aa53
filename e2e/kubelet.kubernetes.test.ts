import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  createReadStream,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { KubernetesObject } from '@majorana/test-servers';
import { kubeletObstacle } from '@majorana/test-servers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cli, until } from './product.ts';
import { IMAGE, NAMESPACE, RealCluster } from './real-cluster.ts';

const obstacle = kubeletObstacle();
const title = obstacle === undefined ? 'a real kubelet' : `a real kubelet: left out, ${obstacle}`;
/** Small enough for many on a node of two cores. */
const SMALL = ['--cores', '0.1', '--memory', '64M'];
const FOREVER = 'echo up; while :; do busybox sleep 1; done';

interface Attempt {
  readonly outcome: string | null;
  readonly reason: string;
  readonly exitCode: number | null;
  readonly signal: number | null;
}
interface Told {
  readonly task: { readonly state: string; readonly reason: string; readonly retryCount: number };
  readonly attempts: readonly Attempt[];
  readonly explanation: { readonly sentence: string };
  readonly artifacts: readonly { readonly path: string; readonly attemptNumber: number }[];
}

describe.skipIf(obstacle !== undefined)(title, () => {
  const cluster = new RealCluster();
  const { product } = cluster;
  beforeAll(() => cluster.start());
  afterAll(() => cluster[Symbol.asyncDispose]());

  const submit = (options: readonly string[], ...words: readonly string[]): Promise<string> =>
    product.ok('submit', '--image', IMAGE, ...SMALL, ...options, '--', ...words);
  const shell = (script: string, ...options: readonly string[]): Promise<string> =>
    submit(options, 'sh', '-c', script);
  const told = (job: string): Promise<Told> => product.json<Told>('why', `${job}.0`);
  const ended = async (job: string): Promise<Told> => {
    await product.run('wait', job, '--quiet');
    return told(job);
  };
  const running = (job: string): Promise<unknown> =>
    until(`${job} to say that it is up`, async () =>
      (await product.ok('logs', job)).includes('up'),
    );
  const pod = (job: string, attempt = 1): string =>
    `/api/v1/namespaces/${NAMESPACE}/pods/majorana-${job.replace('job_', '')}-0-${attempt}`;
  const results = async (job: string): Promise<string> => {
    const folder = path.join(product.data, `results-${job}`);
    await product.ok('results', job, '--output', folder);
    return folder;
  };

  test.concurrent('a program of an image is told where it runs, and its logs are kept', async () => {
    const job = await shell('echo said; echo bad >&2; echo $MAJORANA_TASK_ID');
    const { task } = await ended(job);
    expect(task).toMatchObject({ state: 'succeeded', reason: 'exit code 0' });
    expect(await product.ok('logs', job)).toBe(`said\n${job}.0`);
    expect(await product.ok('logs', job, '--stderr')).toBe('bad');
  });

  test.concurrent('an exit code is the task’s', async () => {
    const { task, attempts } = await ended(await shell('exit 3'));
    expect(task).toMatchObject({ state: 'failed', reason: 'exit code 3' });
    expect(attempts).toMatchObject([{ outcome: 'exit_code', exitCode: 3 }]);
  });

  test.concurrent('a signal is told by its name', async () => {
    const { task, attempts } = await ended(await shell('kill -SEGV $$'));
    expect(task.reason).toBe('ended by SIGSEGV');
    expect(attempts).toMatchObject([{ outcome: 'signal', signal: 11 }]);
  });

  test.concurrent('a program that is not in the image cannot start', async () => {
    const { task } = await ended(await submit([], 'nosuchprogram'));
    expect(task).toMatchObject({
      state: 'failed',
      reason: 'could not start: exec: No such file or directory: nosuchprogram',
    });
  });

  test.concurrent('out of memory is told, keeps the log, and a retry has more', async () => {
    const options = ['--memory', '32M', '--retries', '2', '--retry-on', 'memory'];
    // Its last line is 40 MB long, and kept until its end.
    const script = 'echo begun; busybox head -c 40000000 /dev/zero | busybox tail -n 1 >/dev/null';
    const job = await shell(`set -o pipefail; ${script}`, ...options, '--retry-memory-max', '128M');
    const { task, attempts } = await ended(job);
    expect(task).toMatchObject({ state: 'succeeded', retryCount: 1 });
    expect(attempts[0]).toMatchObject({
      outcome: 'out_of_memory',
      reason: 'out of memory: more than its 32 MiB memory',
    });
    expect(await product.ok('logs', job, '--attempt', '1')).toBe('begun');
  });

  test.concurrent('shared memory is as large as asked', async () => {
    const job = await shell('busybox df -k /dev/shm', '--shm', '16M');
    await ended(job);
    expect(await product.ok('logs', job)).toMatch(/^tmpfs +16384 /m);
  });

  test.concurrent('the network of the node is there when asked, and only then', async () => {
    const script = 'busybox ip address';
    const [own, node] = [await shell(script), await shell(script, '--host-network')];
    await Promise.all([ended(own), ended(node)]);
    const bridge = 'pods0';
    expect(await product.ok('logs', own)).not.toContain(bridge);
    expect(await product.ok('logs', node)).toContain(bridge);
  });

  test.concurrent('outputs by globs come home, and no others', async () => {
    const script = 'busybox mkdir -p out/deep; echo 1 >out/deep/a; echo 2 >b.txt; echo 3 >c.no';
    const job = await shell(script, '--output', 'out/**', '--output', '*.txt');
    await ended(job);
    const folder = await results(job);
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    expect(files.toSorted()).toEqual(['b.txt', 'out', 'out/deep', 'out/deep/a']);
    expect(readFileSync(path.join(folder, 'out/deep/a'), 'utf8')).toBe('1\n');
  });

  test.concurrent('an output of 1 GB comes home whole, past a memory of 64 MB', async () => {
    const line = 'x'.repeat(999);
    const script = `busybox yes ${line} | busybox head -c 1000000000 >big; busybox sha256sum big`;
    const job = await shell(script, '--cores', '1', '--output', 'big');
    const { task } = await ended(job);
    expect(task.reason).toBe('exit code 0');
    const folder = await results(job);
    const hash = createHash('sha256');
    await pipeline(createReadStream(path.join(folder, 'big')), hash);
    rmSync(folder, { recursive: true });
    expect(await product.ok('logs', job)).toBe(`${hash.digest('hex')}  big`);
  }, 240_000);

  test.concurrent('an image that cannot be had fails the task, in the words of the node', async () => {
    const job = await product.ok('submit', '--image', 'majorana.test/no:1', ...SMALL, '--', 'sh');
    const { task, attempts } = await ended(job);
    expect(task.state).toBe('failed');
    expect(task.reason).toMatch(/^could not start: .*pull.*majorana\.test\/no:1/s);
    expect(attempts).toMatchObject([{ outcome: 'start_error' }]);
  });

  test.concurrent.each([
    ['secret', 'secret:nosuch:/m', /FailedMount: .*secret "nosuch" not found/],
    ['config map', 'config-map:nosuch:/m', /FailedMount: .*configmap "nosuch" not found/],
    ['claim', 'pvc:nosuch:/m', /FailedMount: .*persistentvolumeclaims? "nosuch" not found/],
  ])('a %s that is not there is told while it waits, then fails', async (_what, mount, words) => {
    const job = await shell('true', '--mount', mount);
    const start = await until('the words of the node', async () => {
      const { explanation } = await told(job);
      return words.test(explanation.sentence) && explanation.sentence;
    });
    expect(start).toMatch(/^it is starting on real: .*, on node node-0 for \d+ s$/);
    const { task } = await ended(job);
    expect(task.state).toBe('failed');
    expect(task.reason).toMatch(words);
  });

  test.concurrent('a pod that somebody evicts is requeued, with who did it', async () => {
    const job = await shell(FOREVER);
    await running(job);
    const metadata = { name: path.basename(pod(job)), namespace: NAMESPACE };
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata };
    await cluster.kubernetes.admin.create(`${pod(job)}/eviction`, eviction);
    const { attempts } = await until('a second attempt', async () => {
      const state = await told(job);
      return state.attempts.length === 2 && state;
    });
    expect(attempts[0]!.outcome).toBe('reclaimed');
    expect(attempts[0]!.reason).toMatch(/^its pod was ended \(EvictionByEvictionAPI: .*\); /);
    await product.ok('cancel', job);
    await ended(job);
  });

  test.concurrent('a cancelled task is told by TERM, and killed after its grace', async () => {
    const stubborn = await shell(`trap "echo told" TERM; ${FOREVER}`, '--grace', '1s');
    const polite = await shell(`trap "echo bye; exit 7" TERM; ${FOREVER}`);
    await Promise.all([running(stubborn), running(polite)]);
    await product.ok('cancel', stubborn);
    await product.ok('cancel', polite);
    const [killed, left] = await Promise.all([ended(stubborn), ended(polite)]);
    expect(killed.task).toMatchObject({ state: 'cancelled', reason: 'cancelled by a user' });
    expect(killed.attempts).toMatchObject([{ outcome: 'cancelled', signal: 9 }]);
    expect(await product.ok('logs', stubborn)).toBe('up\ntold');
    expect(left.attempts).toMatchObject([{ outcome: 'cancelled', exitCode: 7 }]);
    expect(await product.ok('logs', polite)).toBe('up\nbye');
  });

  test.concurrent('a time limit ends the task', async () => {
    const { task, attempts } = await ended(await shell(FOREVER, '--time-limit', '1s'));
    expect(task).toMatchObject({ state: 'failed', reason: 'ended at its time limit of 1 s' });
    expect(attempts).toMatchObject([{ outcome: 'time_limit' }]);
  });

  test.concurrent('a log is followed while the task runs, a line reaching its reader within a second', async () => {
    const job = await shell(
      'while :; do busybox date +%s; busybox sleep 0.3; done',
      '--time-limit',
      '20s',
    );
    const delaysMs: number[] = [];
    const follower = spawn(cli, ['logs', '--follow', job], {
      env: { ...process.env, MAJORANA_DATA: product.data },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const closed = new Promise((resolve) => follower.once('close', resolve));
    follower.stdout.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.trim().split('\n')) delaysMs.push(Date.now() - Number(line) * 1000);
    });
    // Its clock counts seconds: a line is up to one old when it is written.
    await until('lines within a second', () => delaysMs.some((ms) => ms < 1000));
    await product.ok('cancel', job);
    await closed;
  });

  test.concurrent('a pod deleted by somebody is requeued, uncounted, with its checkpoint and what it had kept', async () => {
    const options = ['--output', '*.kept', '--checkpoint', 'busybox touch saved.kept'];
    const job = await shell(
      `trap "busybox ls; echo 5 >a.kept; exit 7" TERM; ${FOREVER}`,
      ...options,
    );
    await running(job);
    await cluster.kubernetes.admin.delete(pod(job), 60);
    const { task, attempts, artifacts } = await until('a second attempt', async () => {
      const state = await told(job);
      return state.attempts.length === 2 && state;
    });
    expect(task.retryCount).toBe(0);
    expect(attempts[0]).toMatchObject({
      outcome: 'reclaimed',
      reason: 'its pod was ended (deleted, and not by us); exit code 7',
    });
    const kept = artifacts.filter((one) => one.attemptNumber === 1 && one.path.endsWith('.kept'));
    expect(kept.map((one) => one.path).toSorted()).toEqual(['a.kept', 'saved.kept']);
    // The checkpoint comes before the program hears of its end.
    expect(await product.ok('logs', job, '--attempt', '1')).toBe('up\nsaved.kept');
    await product.ok('cancel', job);
    await ended(job);
  });

  test.concurrent('a pod taken from the API server at once is lost, and requeued uncounted', async () => {
    const job = await shell(FOREVER);
    await running(job);
    await cluster.kubernetes.admin.delete(pod(job), 0);
    const { task, attempts } = await until('a second attempt', async () => {
      const state = await told(job);
      return state.attempts.length === 2 && state;
    });
    expect(task.retryCount).toBe(0);
    expect(attempts[0]).toMatchObject({
      outcome: 'lost',
      reason: 'its pod was deleted, and not by us',
    });
    await product.ok('cancel', job);
    await ended(job);
  });

  test.concurrent('a task is no root, has no capability and no token of the cluster', async () => {
    const script = [
      'busybox id -u; busybox grep -E "^(CapEff|CapBnd|NoNewPrivs|Seccomp):" /proc/self/status',
      'busybox test -e /var/run/secrets/kubernetes.io || echo none',
    ].join('; ');
    const job = await shell(script);
    await ended(job);
    expect((await product.ok('logs', job)).split('\n')).toEqual([
      '10001',
      `CapEff:\t${'0'.repeat(16)}`,
      `CapBnd:\t${'0'.repeat(16)}`,
      'NoNewPrivs:\t1',
      'Seccomp:\t2',
      'none',
    ]);
  });

  test.concurrent('a path of the node is mounted only where its administrator lets it', async () => {
    const { task } = await ended(await shell('true', '--mount', 'host:/etc:/of-node'));
    expect(task.reason).toBe(
      `could not start: this cluster does not let tasks mount /etc of its nodes; allowed: ${cluster.shared}`,
    );
  });

  test.concurrent('a link that was left below an allowed path leads no task out of it', async () => {
    const { shared } = cluster;
    chmodSync(shared, 0o755);
    mkdirSync(path.join(shared, 'data'));
    writeFileSync(path.join(shared, 'data/kept'), 'of the node\n');
    symlinkSync('/etc', path.join(shared, 'way-out'));
    const good = await shell('busybox cat /m/kept', '--mount', `host:${shared}/data:/m`);
    await ended(good);
    expect(await product.ok('logs', good)).toBe('of the node');
    const bad = await shell('busybox ls /m', '--mount', `host:${shared}/way-out:/m`);
    const { task } = await ended(bad);
    expect(task.state).toBe('failed');
    expect(task.reason).toMatch(/^could not start: .*subPath/);
  });

  test('no pod is left, and the logs are still there', async () => {
    const job = await shell('echo kept');
    await ended(job);
    const pods = `/api/v1/namespaces/${NAMESPACE}/pods`;
    await until('no pod', async () => {
      const { items } = await cluster.kubernetes.admin.get<{ items: KubernetesObject[] }>(pods);
      return items.length === 0;
    });
    expect(await product.ok('logs', job)).toBe('kept');
  });
});
