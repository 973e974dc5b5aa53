import type { KubernetesObject, TestKubernetes } from '@majorana/test-servers';
import { KubernetesApi, readKubeconfig } from '@majorana/test-servers';
import type { Load } from './kubernetes-load.ts';
import { manifestOf, podsOf } from './kubernetes-load.ts';

const NAMESPACE = 'bare';
const PODS = podsOf(NAMESPACE);
/** Connections, and requests in flight, of creations and deletions: more make nothing faster. */
const CONNECTIONS = 64;

interface Pod extends KubernetesObject {
  readonly status: { readonly phase: string };
}

export interface BareRun {
  readonly createSeconds: number;
  readonly lifeSeconds: number;
  readonly clientCpuMs: number;
  readonly events: number;
  readonly watches: number;
}

/** A deletion is an event of its own, of a pod that has ended before. */
const isOver = ({ metadata, status }: Pod): boolean =>
  status.phase === 'Succeeded' && metadata.deletionTimestamp === undefined;

/** Does the work in this order, so many at a time. */
export async function inParallel(
  count: number,
  width: number,
  work: (at: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, lane));
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
export async function bareLoop(kubernetes: TestKubernetes, load: Load): Promise<BareRun> {
  await kubernetes.createNamespace(NAMESPACE).catch((error: Error) => {
    // A run before this one made it.
    if (!error.message.includes('already exists')) throw error;
  });
  const access = await readKubeconfig(kubernetes.adminKubeconfig);
  using api = new KubernetesApi(access, CONNECTIONS);
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const secondsSoFar = (): number => (performance.now() - startedAt) / 1000;
  const deletions = new Map<string, Promise<unknown>>();
  const watching = watchAll(kubernetes.admin, load.tasks, (name) => {
    // KWOK says an end again when its own watch was ended in between.
    if (!deletions.has(name)) deletions.set(name, api.delete(`${PODS}/${name}`, 0));
  });
  const creating = inParallel(load.tasks, CONNECTIONS, (at) =>
    api.create(PODS, manifestOf(NAMESPACE, at, load)),
  );
  const [createSeconds, seen] = await Promise.all([creating.then(secondsSoFar), watching]);
  await Promise.all(deletions.values());
  const lifeSeconds = secondsSoFar();
  const { user, system } = process.cpuUsage(cpu);
  return { createSeconds, lifeSeconds, clientCpuMs: (user + system) / 1000, ...seen };
}
