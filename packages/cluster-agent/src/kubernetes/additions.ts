import type { Resources, Toleration } from '@majorana/core';
import { addResources } from '@majorana/core';
import type { Pod } from './objects.ts';
import type { ResourceNames } from './quantities.ts';
import { podRequests } from './quantities.ts';

/** After so long without a pod the rule may have been lifted: the next one finds out. */
const FORGET_MS = 60_000;

type Selector = Readonly<Record<string, string>>;

/** What a pod is placed by. */
export interface PodNeeds {
  readonly resources: Resources;
  readonly nodeSelector: Selector;
  readonly tolerations: readonly Toleration[];
}

/** As the API server has stored it. */
export const needsOf = (pod: Pod, names: ResourceNames): PodNeeds => ({
  resources: podRequests(pod, names),
  nodeSelector: pod.spec.nodeSelector ?? {},
  tolerations: (pod.spec.tolerations ?? []).map(({ key = '', operator = 'Equal', ...rest }) => ({
    ...rest,
    key,
    operator,
  })),
});

/** How a node fares, not what it is for: Kubernetes lets each pod stay on a silent node for a while. */
const isOfState = ({ key }: Toleration): boolean => key.startsWith('node.kubernetes.io/');

const wordsOf = ({ key, operator, value, effect }: Toleration): string =>
  [key, operator, value ?? '', effect ?? ''].join('\n');

function moreTolerations(
  more: readonly Toleration[],
  less: readonly Toleration[],
): readonly Toleration[] {
  const known = new Set(less.map(wordsOf));
  return more.filter((one) => !isOfState(one) && !known.has(wordsOf(one)));
}

/** What is above, and nothing below: a pod that takes less is placed as if it did not. */
function excess(more: Resources, less: Resources): Resources {
  const above = (a: number, b: number): number => Math.max(0, a - b);
  const countable = Object.entries(more.countable)
    .map(([name, count]) => [name, above(count, less.countable[name] ?? 0)] as const)
    .filter(([, count]) => count > 0);
  return {
    cpuMillis: above(more.cpuMillis, less.cpuMillis),
    memoryBytes: above(more.memoryBytes, less.memoryBytes),
    scratchBytes: above(more.scratchBytes, less.scratchBytes),
    shmBytes: 0,
    gpuCount: above(more.gpuCount, less.gpuCount),
    countable: Object.fromEntries(countable),
  };
}

interface Added extends PodNeeds {
  readonly text: string;
  readonly learnedMs: number;
}

/** Shapes come and go for weeks; what is forgotten is learned again. */
const SHAPES_MAX = 1000;

const isNothing = ({ resources, nodeSelector, tolerations }: PodNeeds): boolean => {
  const { cpuMillis, memoryBytes, scratchBytes, gpuCount, countable } = resources;
  const names = Object.keys(countable).length + Object.keys(nodeSelector).length;
  return cpuMillis + memoryBytes + scratchBytes + gpuCount + names + tolerations.length === 0;
};

/**
 * What the cluster itself puts into our pods, as the API server stored the last one of each shape: a
 * sidecar, an overhead, a limit range's default, a node selector, a toleration. Without it a node would
 * be given more pods than it takes, or one that it may not, and its kubelet would refuse them again and
 * again.
 */
export class Additions {
  readonly #byShape = new Map<string, Added>();

  /** Whether that changed anything; `key` tells the shape, and is asked for only where it matters. */
  learn(key: () => string, asked: PodNeeds, stored: PodNeeds, nowMs: number): boolean {
    const nodeSelector = Object.fromEntries(
      Object.entries(stored.nodeSelector).filter(([name]) => !(name in asked.nodeSelector)),
    );
    const added = {
      resources: excess(stored.resources, asked.resources),
      nodeSelector,
      tolerations: moreTolerations(stored.tolerations, asked.tolerations),
    };
    if (isNothing(added)) return this.#byShape.size > 0 && this.#byShape.delete(key());
    const known = this.#byShape.get(key());
    const text = JSON.stringify(added);
    if (this.#byShape.size >= SHAPES_MAX) this.#byShape.clear();
    this.#byShape.set(key(), { ...added, text, learnedMs: nowMs });
    return known?.text !== text;
  }

  /** Whether there was something to forget. */
  forget(nowMs: number): boolean {
    let isChanged = false;
    for (const [key, { learnedMs }] of this.#byShape)
      if (nowMs - learnedMs > FORGET_MS) isChanged = this.#byShape.delete(key);
    return isChanged;
  }

  to(key: () => string, asked: PodNeeds): PodNeeds {
    const added = this.#byShape.size === 0 ? undefined : this.#byShape.get(key());
    if (added === undefined) return asked;
    return {
      resources: addResources(asked.resources, added.resources),
      nodeSelector: { ...asked.nodeSelector, ...added.nodeSelector },
      tolerations: [...asked.tolerations, ...added.tolerations],
    };
  }
}
