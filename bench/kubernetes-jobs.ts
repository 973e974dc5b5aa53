import type { TestKubernetes } from '@majorana/test-servers';
import { KubernetesApi, readKubeconfig, startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { inParallel } from './kubernetes-bare.ts';
import type { Load } from './kubernetes-load.ts';
import { addNodes, etcdBytes, manifestOf, podCount, serversOf } from './kubernetes-load.ts';
import { findProcess, ProcessCosts } from './process-costs.ts';

const NAMESPACE = 'jobs';
const JOBS = `/apis/batch/v1/namespaces/${NAMESPACE}/jobs`;
const CONNECTIONS = 64;

/** The defaults are 20 requests a second and 5 Jobs at once: here nothing holds them back. */
const UNLIMITED = ['--kube-api-qps=5000', '--kube-api-burst=10000'];
const UNLIMITED_CONTROLLERS = [
  ...UNLIMITED,
  '--concurrent-job-syncs=64',
  '--concurrent-gc-syncs=64',
  '--concurrent-ttl-after-finished-syncs=64',
];

export interface JobsRun {
  readonly lifeSeconds: number;
  readonly cpuMs: Readonly<Record<string, number>>;
  readonly peakMib: Readonly<Record<string, number>>;
  readonly storedBytes: number;
}

/** The same pod without its node, which kube-scheduler names. */
function template(load: Load): object {
  const { metadata, spec } = manifestOf(NAMESPACE, 0, load) as {
    metadata: { labels: object; annotations: object };
    spec: { nodeName: string };
  };
  const { nodeName: _chosen, ...rest } = spec;
  return { metadata: { labels: metadata.labels, annotations: metadata.annotations }, spec: rest };
}

const jobObject = (name: string, load: Load, over: object): object => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name },
  spec: { backoffLimit: 0, ttlSecondsAfterFinished: 0, template: template(load), ...over },
});

async function isEmpty(kubernetes: TestKubernetes): Promise<boolean> {
  const { items } = await kubernetes.admin.get<{ items: object[] }>(`${JOBS}?limit=1`);
  return items.length === 0 && (await podCount(kubernetes, NAMESPACE)) === 0;
}

/** Jobs that Kubernetes removes itself once they have ended, until nothing of them is left. */
async function runJobs(
  kubernetes: TestKubernetes,
  jobs: readonly object[],
  deadlineMs: number,
): Promise<JobsRun> {
  const { folder } = kubernetes;
  const access = await readKubeconfig(kubernetes.adminKubeconfig);
  using api = new KubernetesApi(access, CONNECTIONS);
  const bytesBefore = await etcdBytes(kubernetes);
  const costs = new ProcessCosts({
    ...serversOf(kubernetes),
    'controller manager': findProcess('kube-controller-manager', folder),
    scheduler: findProcess('kube-scheduler', folder),
  });
  const startedAt = performance.now();
  await inParallel(jobs.length, CONNECTIONS, (at) => api.create(JOBS, jobs[at]!));
  await until('the Jobs and their pods to be gone', () => isEmpty(kubernetes), deadlineMs);
  const lifeSeconds = (performance.now() - startedAt) / 1000;
  const storedBytes = (await etcdBytes(kubernetes)) - bytesBefore;
  return { lifeSeconds, cpuMs: costs.cpuMs(), peakMib: costs.peakMib(), storedBytes };
}

/** A Kubernetes with the controllers that Jobs need; `isLimited`: as they are by default. */
export async function startJobsCluster(nodes: number, isLimited: boolean): Promise<TestKubernetes> {
  const kubernetes = await startKubernetes({
    kwok: true,
    controllerManager: true,
    scheduler: true,
    ...(!isLimited && { controllerManagerArgs: UNLIMITED_CONTROLLERS, schedulerArgs: UNLIMITED }),
  });
  await addNodes(kubernetes, nodes);
  await kubernetes.createNamespace(NAMESPACE);
  return kubernetes;
}

export const runOnePodJobs = (
  kubernetes: TestKubernetes,
  load: Load,
  deadlineMs: number,
): Promise<JobsRun> =>
  runJobs(
    kubernetes,
    Array.from({ length: load.tasks }, (_, at) => jobObject(`one-${at}`, load, {})),
    deadlineMs,
  );

export const runIndexedJob = (
  kubernetes: TestKubernetes,
  load: Load,
  deadlineMs: number,
): Promise<JobsRun> => {
  const { tasks } = load;
  const over = { completions: tasks, parallelism: tasks, completionMode: 'Indexed' };
  return runJobs(kubernetes, [jobObject('indexed', load, over)], deadlineMs);
};
