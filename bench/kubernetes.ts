import { parseArgs } from 'node:util';
import type { KubernetesObject } from '@majorana/test-servers';
import {
  addKwokNodes,
  KubernetesApi,
  readKubeconfig,
  startKubernetes,
} from '@majorana/test-servers';
import type { Figure } from './figure.ts';

const PODS = '/api/v1/namespaces/bench/pods';
const GIB = 1024 ** 3;

interface Load {
  readonly nodes: number;
  readonly pods: number;
  /** Connections, and requests in flight, of creations and of deletions each. */
  readonly connections: number;
  /** How long a pod runs; 0 is one that is never seen running and costs KWOK one patch. */
  readonly runMs: number;
}

/** `node bench/kubernetes.ts --nodes 100 --pods 3000` for other loads than that of the results. */
const DEFAULT: Load = { nodes: 100, pods: 3000, connections: 64, runMs: 1000 };

interface Pod extends KubernetesObject {
  readonly status: { readonly phase: string };
}

/** A deletion is an event of its own, of a pod that has ended before. */
const isOver = ({ metadata, status }: Pod): boolean =>
  status.phase === 'Succeeded' && metadata.deletionTimestamp === undefined;

const podOf = (at: number, { nodes, runMs }: Load): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: `pod-${at}`,
    labels: { 'majorana.test/job': 'bench' },
    annotations: { 'majorana.test/run-ms': String(runMs) },
  },
  spec: {
    nodeName: `kwok-${at % nodes}`,
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 5,
    containers: [
      {
        name: 'task',
        image: 'nothing',
        command: ['/bin/true'],
        resources: { requests: { cpu: '1', memory: '2Gi' }, limits: { cpu: '1', memory: '2Gi' } },
      },
    ],
  },
});

/** Does the work in this order, so many at a time. */
async function inParallel(count: number, width: number, work: (at: number) => Promise<unknown>) {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, lane));
}

interface Measured {
  readonly createSeconds: number;
  readonly lifeSeconds: number;
  readonly cpuMs: number;
  readonly events: number;
  readonly watches: number;
}

/**
 * Watches until all are gone. The server ends the watch of whoever does not keep up, which on a
 * busy machine means everybody in a burst: then it goes on from the last version that was seen.
 */
async function watchAll(watcher: KubernetesApi, pods: number, onEnd: (name: string) => void) {
  let { resourceVersion } = (await watcher.get<KubernetesObject>(PODS)).metadata;
  let [events, watches, gone] = [0, 0, 0];
  while (gone < pods) {
    watches += 1;
    const url = `${PODS}?watch=1&resourceVersion=${resourceVersion}`;
    for await (const { type, object } of watcher.watch<Pod>(url)) {
      if (type === 'ERROR') throw new Error(`the watch was refused: ${JSON.stringify(object)}`);
      events += 1;
      ({ resourceVersion } = object.metadata);
      if (type === 'DELETED') gone += 1;
      else if (isOver(object)) onEnd(object.metadata.name);
      if (gone === pods) break;
    }
  }
  return { events, watches };
}

/** The bare loop: create with the node named, see the end by the watch, delete. No queue at all. */
async function bareLoop(api: KubernetesApi, watcher: KubernetesApi, load: Load): Promise<Measured> {
  const { pods, connections } = load;
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const secondsSoFar = (): number => (performance.now() - startedAt) / 1000;
  const deletions = new Map<string, Promise<unknown>>();
  const watching = watchAll(watcher, pods, (name) => {
    // KWOK says an end again when its own watch was ended in between.
    if (!deletions.has(name)) deletions.set(name, api.delete(`${PODS}/${name}`, 0));
  });
  const creating = inParallel(pods, connections, (at) => api.create(PODS, podOf(at, load)));
  const [createSeconds, seen] = await Promise.all([creating.then(secondsSoFar), watching]);
  await Promise.all(deletions.values());
  const lifeSeconds = secondsSoFar();
  const { user, system } = process.cpuUsage(cpu);
  return { createSeconds, lifeSeconds, cpuMs: (user + system) / 1000, ...seen };
}

async function measure(load: Load): Promise<Figure[]> {
  await using kubernetes = await startKubernetes({ kwok: true });
  await addKwokNodes(kubernetes.admin, {
    count: load.nodes,
    cpu: 24,
    memoryBytes: 48 * GIB,
  });
  await kubernetes.createNamespace('bench');
  const access = await readKubeconfig(kubernetes.adminKubeconfig);
  using api = new KubernetesApi(access, load.connections);
  const { createSeconds, lifeSeconds, cpuMs, events, watches } = await bareLoop(
    api,
    kubernetes.admin,
    load,
  );
  const { nodes, pods, runMs } = load;
  const what = `${pods} pods of ${runMs} ms on ${nodes} KWOK nodes`;
  const perPod = (value: number): string => (value / pods).toFixed(2);
  return [
    {
      name: `${what}: creations`,
      value: `${(pods / createSeconds).toFixed(0)}/s`,
      beside: `${load.connections} connections; KWOK and deletions at the same time`,
    },
    {
      name: `${what}: whole lives`,
      value: `${(pods / lifeSeconds).toFixed(0)}/s`,
      beside: 'created, running, succeeded, deleted, seen gone',
    },
    {
      name: `${what}: client`,
      value: `${perPod(cpuMs)} ms CPU a pod`,
      beside: `${perPod(events)} watch events a pod, over ${watches} watches one after another`,
    },
  ];
}

/** What the machine gives without any queue: the limit that the product's own rows stand beside. */
export async function kubernetesFigures(): Promise<Figure[]> {
  return [...(await measure(DEFAULT)), ...(await measure({ ...DEFAULT, runMs: 0 }))];
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: String(DEFAULT.nodes) },
      pods: { type: 'string', default: String(DEFAULT.pods) },
      connections: { type: 'string', default: String(DEFAULT.connections) },
      'run-ms': { type: 'string', default: String(DEFAULT.runMs) },
    },
  });
  const load: Load = {
    nodes: Number(values.nodes),
    pods: Number(values.pods),
    connections: Number(values.connections),
    runMs: Number(values['run-ms']),
  };
  for (const { name, value, beside } of await measure(load)) {
    process.stdout.write(`${name}: ${value} (${beside})\n`);
  }
}
