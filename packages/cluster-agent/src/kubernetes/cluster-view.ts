import type { NodePicture, Resources, Taint } from '@majorana/core';
import { addResources, NO_RESOURCES, NodeIndex, subtractResources } from '@majorana/core';
import { ForeignNodes } from './foreign-nodes.ts';
import { fullImageName } from './image-names.ts';
import { KEPT } from './kept-nodes.ts';
import type { KubernetesNode, Pod } from './objects.ts';
import { isTerminated } from './objects.ts';
import type { ResourceNames } from './quantities.ts';
import { parseQuantity, podRequests, readResources } from './quantities.ts';
import { isTrouble } from './tolerations.ts';

const SECOND = 1000;
/** After a start that failed for the node's sake; doubled with each in a row, up to the last. */
const COOL_DOWN_MS = {
  broke: 30 * SECOND,
  /** It was full before we knew: the watch tells within a second. */
  refused: 2 * SECOND,
};
const COOL_DOWN_MS_MAX = 30 * 60 * SECOND;

/** What a pod takes of a node, or will when the one we are about to create is seen. */
interface Taken {
  readonly nodeName: string;
  readonly resources: Resources;
  readonly isOurs: boolean;
  /** The watch has not shown it yet. */
  readonly isAssumed: boolean;
}

type Place = Omit<NodePicture, 'held' | 'podCount' | 'runningEnds' | 'coolDownUntilMs'>;

interface NodeState {
  place: Place | undefined;
  held: Resources;
  podCount: number;
  ours: Resources;
  ourCount: number;
  others: Resources;
  faultCount: number;
  coolDownUntilMs: number;
  fault: string;
}

const EFFECTS = new Set(['NoSchedule', 'PreferNoSchedule', 'NoExecute']);

/** Set by Kubernetes beside a condition that is looked at by itself. */
const isOwnTaint = (key: string): boolean =>
  key === 'node.kubernetes.io/unschedulable' || key === 'node.kubernetes.io/not-ready';

function placeOf(node: KubernetesNode, names: ResourceNames): Place {
  const { allocatable = {}, conditions = [], images = [] } = node.status ?? {};
  const ready = conditions.find(({ type }) => type === 'Ready');
  const taints = (node.spec?.taints ?? [])
    .filter(({ key, effect }) => EFFECTS.has(effect) && !isOwnTaint(key))
    .map(({ key, value = '', effect }): Taint => {
      const taint = { key, value, effect: effect as Taint['effect'] };
      return isTrouble(key) ? { ...taint, isFact: true } : taint;
    });
  return {
    name: node.metadata.name,
    labels: node.metadata.labels ?? {},
    taints,
    isSchedulable: node.spec?.unschedulable !== true,
    ...(ready?.status !== 'True' && {
      notReadySinceMs: Date.parse(ready?.lastTransitionTime ?? '') || 0,
    }),
    allocatable: readResources(allocatable, names),
    podsMax: parseQuantity(allocatable['pods']),
    images: new Set(images.flatMap(({ names: all = [] }) => all).map(fullImageName)),
  };
}

const keyOf = ({ metadata }: Pod): string => `${metadata.namespace}/${metadata.name}`;

/** The nodes and all that runs on them, from watches: what placement goes by. */
export class ClusterView {
  readonly index = new NodeIndex();
  readonly #names: ResourceNames;
  readonly #isOurs: (pod: Pod) => boolean;
  readonly #nodes = new Map<string, NodeState>();
  readonly #foreign = new ForeignNodes();
  readonly #taken = new Map<string, Taken>();
  #kept: ReadonlySet<string> = new Set();
  #allocatable = NO_RESOURCES;
  #others = NO_RESOURCES;

  constructor(names: ResourceNames, isOurs: (pod: Pod) => boolean) {
    this.#names = names;
    this.#isOurs = isOurs;
  }

  /** What all nodes together have for us: other people's pods are not ours to use. */
  get capacity(): Resources {
    return subtractResources(this.#allocatable, this.#others);
  }

  setNode(node: KubernetesNode): void {
    const state = this.#node(node.metadata.name);
    this.#countPlace(state, -1);
    state.place = placeOf(node, this.#names);
    this.#countPlace(state, 1);
    if (this.#foreign.set(node)) this.#showAll();
    else this.#show(state);
  }

  removeNode(name: string): void {
    const state = this.#nodes.get(name);
    if (state?.place === undefined) return;
    this.#countPlace(state, -1);
    state.place = undefined;
    this.index.remove(name);
    if (state.podCount === 0) this.#nodes.delete(name);
    if (this.#foreign.remove(name)) this.#showAll();
  }

  get nodeNames(): string[] {
    return [...this.#nodes].flatMap(([name, { place }]) => (place === undefined ? [] : [name]));
  }

  setPod(pod: Pod): void {
    const { nodeName } = pod.spec;
    const key = keyOf(pod);
    if (nodeName === undefined || nodeName === '' || isTerminated(pod)) {
      this.#drop(key);
      return;
    }
    const resources = podRequests(pod, this.#names);
    this.#take(key, { nodeName, resources, isOurs: this.#isOurs(pod), isAssumed: false });
  }

  removePod(pod: Pod): void {
    this.#drop(keyOf(pod));
  }

  /** After a gap in the watch. */
  dropAllPodsBut(keys: ReadonlySet<string>): void {
    for (const [key, { isAssumed }] of this.#taken)
      if (!isAssumed && !keys.has(key)) this.#drop(key);
  }

  /** A pod of ours that is about to be created takes its room at once. */
  assume(key: string, nodeName: string, resources: Resources): void {
    this.#take(key, { nodeName, resources, isOurs: true, isAssumed: true });
  }

  /** It will not be created, or was gone before the watch showed it. */
  unassume(key: string): void {
    if (this.#taken.get(key)?.isAssumed === true) this.#drop(key);
  }

  hasImage(nodeName: string, image: string): boolean {
    return this.#nodes.get(nodeName)?.place?.images.has(fullImageName(image)) ?? false;
  }

  /** A start failed for this node's sake. Those that fail while it rests began before, for one cause. */
  blame(
    nodeName: string,
    { fault, reason }: { readonly fault: keyof typeof COOL_DOWN_MS; readonly reason: string },
    nowMs: number,
  ): void {
    const state = this.#nodes.get(nodeName);
    if (state === undefined) return;
    if (nowMs >= state.coolDownUntilMs || state.faultCount === 0) state.faultCount += 1;
    const waitMs = Math.min(COOL_DOWN_MS_MAX, COOL_DOWN_MS[fault] * 2 ** (state.faultCount - 1));
    state.coolDownUntilMs = Math.max(state.coolDownUntilMs, nowMs + waitMs);
    state.fault = reason;
    this.#show(state);
  }

  praise(nodeName: string): void {
    const state = this.#nodes.get(nodeName);
    if (state !== undefined) state.faultCount = 0;
  }

  /** Of all nodes these alone are kept for something that waits. */
  keep(nodeNames: ReadonlySet<string>): void {
    const changed = nodeNames.symmetricDifference(this.#kept);
    this.#kept = nodeNames;
    for (const name of changed) {
      const state = this.#nodes.get(name);
      if (state !== undefined) this.#show(state);
    }
  }

  isReady(nodeName: string): boolean {
    const place = this.#nodes.get(nodeName)?.place;
    return place !== undefined && place.notReadySinceMs === undefined;
  }

  /** Why what runs on a node is to be given up; undefined: it is not. */
  troubleOf(nodeName: string, nowMs: number, patienceMs: number): string | undefined {
    const place = this.#nodes.get(nodeName)?.place;
    if (place === undefined) return `node ${nodeName} is gone`;
    const silentMs = place.notReadySinceMs === undefined ? 0 : nowMs - place.notReadySinceMs;
    if (silentMs <= patienceMs) return undefined;
    return `node ${nodeName} has not been ready for ${Math.round(silentMs / SECOND)} s`;
  }

  /** Nodes as people are shown them. */
  pictures(): {
    readonly picture: NodePicture;
    readonly ourCount: number;
    readonly fault: string;
  }[] {
    return [...this.#nodes.values()].flatMap((state) => {
      const picture = this.#pictureOf(state);
      return picture === undefined
        ? []
        : [{ picture, ourCount: state.ourCount, fault: state.fault }];
    });
  }

  #node(name: string): NodeState {
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const state: NodeState = {
      place: undefined,
      held: NO_RESOURCES,
      podCount: 0,
      ours: NO_RESOURCES,
      ourCount: 0,
      others: NO_RESOURCES,
      faultCount: 0,
      coolDownUntilMs: 0,
      fault: '',
    };
    this.#nodes.set(name, state);
    return state;
  }

  #take(key: string, taken: Taken): void {
    const before = this.#taken.get(key);
    // Most events of a pod change nothing of what it takes.
    if (before !== undefined && isSame(before, taken)) return;
    this.#drop(key);
    this.#taken.set(key, taken);
    this.#count(taken, 1);
  }

  #drop(key: string): void {
    const taken = this.#taken.get(key);
    if (taken === undefined) return;
    this.#taken.delete(key);
    this.#count(taken, -1);
  }

  #count({ nodeName, resources, isOurs }: Taken, sign: 1 | -1): void {
    const change = sign === 1 ? addResources : subtractResources;
    const state = this.#node(nodeName);
    state.held = change(state.held, resources);
    state.podCount += sign;
    if (isOurs) {
      state.ours = change(state.ours, resources);
      state.ourCount += sign;
    } else {
      state.others = change(state.others, resources);
      if (state.place !== undefined) this.#others = change(this.#others, resources);
    }
    this.#show(state);
    if (state.podCount === 0 && state.place === undefined) this.#nodes.delete(nodeName);
  }

  /** Pods of a node that is not here, or not yet, take nothing of what there is. */
  #countPlace({ place, others }: NodeState, sign: 1 | -1): void {
    if (place === undefined) return;
    const change = sign === 1 ? addResources : subtractResources;
    this.#allocatable = change(this.#allocatable, place.allocatable);
    this.#others = change(this.#others, others);
  }

  #show(state: NodeState): void {
    const picture = this.#pictureOf(state);
    if (picture !== undefined) this.index.set(picture);
  }

  #showAll(): void {
    for (const state of this.#nodes.values()) this.#show(state);
  }

  #pictureOf(state: NodeState): NodePicture | undefined {
    if (state.place === undefined) return undefined;
    const { name } = state.place;
    const foreign = this.#foreign.taintOf(name);
    const more = [...(foreign ? [foreign] : []), ...(this.#kept.has(name) ? [KEPT] : [])];
    return pictureOf(state, state.place, more);
  }
}

const isSame = (a: Taken, b: Taken): boolean =>
  a.nodeName === b.nodeName &&
  a.isOurs === b.isOurs &&
  a.isAssumed === b.isAssumed &&
  isSameRequest(a.resources, b.resources);

function isSameRequest(a: Resources, b: Resources): boolean {
  const { countable, ...plain } = a;
  const names = Object.keys(countable);
  return (
    Object.entries(plain).every(([name, amount]) => b[name as keyof typeof plain] === amount) &&
    names.length === Object.keys(b.countable).length &&
    names.every((name) => countable[name] === b.countable[name])
  );
}

function pictureOf(
  { held, podCount, ours, ourCount, coolDownUntilMs }: NodeState,
  place: Place,
  more: readonly Taint[],
): NodePicture {
  return {
    ...place,
    ...(more.length > 0 && { taints: [...place.taints, ...more] }),
    held,
    podCount,
    ...(coolDownUntilMs > 0 && { coolDownUntilMs }),
    runningEnds:
      ourCount === 0 ? [] : [{ endsAtMs: undefined, resources: ours, podCount: ourCount }],
  };
}
