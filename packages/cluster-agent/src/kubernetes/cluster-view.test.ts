import { addResources, NO_RESOURCES, subtractResources } from '@majorana/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ClusterView } from './cluster-view.ts';
import { AGENT_LABEL } from './pod.ts';
import type { KubernetesNode, Pod } from './objects.ts';
import { isTerminated } from './objects.ts';
import { podRequests, readResources } from './quantities.ts';
import { NAMES, testNode, testPod } from './test-objects.ts';

const isOurs = (pod: Pod): boolean => pod.metadata.labels?.[AGENT_LABEL] === 'us';
const keyOf = ({ metadata }: Pod): string => `majorana/${metadata.name}`;

type Event =
  | { readonly kind: 'node'; readonly node: KubernetesNode }
  | { readonly kind: 'noNode'; readonly name: string }
  | { readonly kind: 'pod'; readonly pod: Pod }
  | { readonly kind: 'noPod'; readonly pod: Pod }
  | { readonly kind: 'assume'; readonly pod: Pod }
  | { readonly kind: 'unassume'; readonly pod: Pod }
  | { readonly kind: 'relist'; readonly names: readonly string[] };

const nodeName = fc.constantFrom('n1', 'n2', 'n3');
const pod = fc
  .record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    nodeName,
    cpu: fc.constantFrom('100m', '1', '2500m'),
    agent: fc.constantFrom('us', 'them'),
    phase: fc.constantFrom('Pending', 'Running', 'Succeeded'),
  })
  .map(({ name, nodeName: on, cpu, ...edit }) => testPod(name, on, cpu, edit));
const event: fc.Arbitrary<Event> = fc.oneof(
  fc
    .record({ name: nodeName, cpu: fc.constantFrom(4, 8) })
    .map(({ name, cpu }) => ({ kind: 'node' as const, node: testNode(name, cpu) })),
  nodeName.map((name) => ({ kind: 'noNode' as const, name })),
  pod.map((one) => ({ kind: 'pod' as const, pod: one })),
  pod.map((one) => ({ kind: 'noPod' as const, pod: one })),
  pod.map((one) => ({ kind: 'assume' as const, pod: one })),
  pod.map((one) => ({ kind: 'unassume' as const, pod: one })),
  fc
    .uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'))
    .map((names) => ({ kind: 'relist' as const, names })),
);

/** What there is, kept as lists and counted anew. */
class Recount {
  readonly nodes = new Map<string, KubernetesNode>();
  readonly pods = new Map<string, { readonly pod: Pod; readonly isOurs: boolean }>();
  readonly assumed = new Set<string>();

  take(one: Event): void {
    if (one.kind === 'node') this.nodes.set(one.node.metadata.name, one.node);
    else if (one.kind === 'noNode') this.nodes.delete(one.name);
    else if (one.kind === 'relist') {
      for (const key of this.pods.keys())
        if (!this.assumed.has(key) && !one.names.includes(key.split('/')[1]!))
          this.pods.delete(key);
    } else this.#takePod(one.kind, one.pod);
  }

  #takePod(kind: 'pod' | 'noPod' | 'assume' | 'unassume', one: Pod): void {
    const key = keyOf(one);
    if (kind === 'unassume' && !this.assumed.has(key)) return;
    this.pods.delete(key);
    this.assumed.delete(key);
    if (kind === 'assume') {
      this.pods.set(key, { pod: one, isOurs: true });
      this.assumed.add(key);
    } else if (kind === 'pod' && !isTerminated(one))
      this.pods.set(key, { pod: one, isOurs: isOurs(one) });
  }

  on(name: string) {
    const here = [...this.pods.values()].filter(({ pod: one }) => one.spec.nodeName === name);
    const sum = (of: typeof here) =>
      of.reduce((all, { pod: one }) => addResources(all, podRequests(one, NAMES)), NO_RESOURCES);
    const ours = here.filter((one) => one.isOurs);
    return {
      held: sum(here),
      podCount: here.length,
      ours: sum(ours),
      ourCount: ours.length,
      others: sum(here.filter((one) => !one.isOurs)),
    };
  }
}

function apply(view: ClusterView, one: Event): void {
  switch (one.kind) {
    case 'node':
      return view.setNode(one.node);
    case 'noNode':
      return view.removeNode(one.name);
    case 'pod':
      return view.setPod(one.pod);
    case 'noPod':
      return view.removePod(one.pod);
    case 'assume':
      return view.assume(keyOf(one.pod), one.pod.spec.nodeName!, podRequests(one.pod, NAMES));
    case 'unassume':
      return view.unassume(keyOf(one.pod));
    case 'relist':
      return view.dropAllPodsBut(new Set(one.names.map((name) => `majorana/${name}`)));
  }
}

test('whatever comes in whatever order, the view is what a recount would find', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const view = new ClusterView(NAMES, isOurs);
      const recount = new Recount();
      for (const one of events) {
        apply(view, one);
        recount.take(one);
      }
      let capacity = NO_RESOURCES;
      const pictures = new Map(view.pictures().map((one) => [one.picture.name, one]));
      expect([...pictures.keys()].toSorted()).toEqual([...recount.nodes.keys()].toSorted());
      for (const [name, node] of recount.nodes) {
        const { held, podCount, ours, ourCount, others } = recount.on(name);
        const { picture } = pictures.get(name)!;
        expect(picture).toMatchObject({ held, podCount });
        expect(pictures.get(name)!.ourCount).toBe(ourCount);
        expect(picture.runningEnds).toEqual(
          ourCount === 0 ? [] : [{ endsAtMs: undefined, resources: ours, podCount: ourCount }],
        );
        const allocatable = readResources(node.status!.allocatable!, NAMES);
        capacity = addResources(capacity, subtractResources(allocatable, others));
      }
      expect(view.capacity).toEqual(capacity);
    }),
    { numRuns: 500 },
  );
});

test('a node with pods that was deleted and came again has them again', () => {
  const view = new ClusterView(NAMES, isOurs);
  view.setNode(testNode('n', 8));
  view.setPod(testPod('a', 'n', '2'));
  view.removeNode('n');
  expect(view.capacity.cpuMillis).toBe(0);
  expect(view.troubleOf('n', 0, 1000)).toBe('node n is gone');
  view.setNode(testNode('n', 8));
  expect(view.capacity.cpuMillis).toBe(6000);
});

test('a node that failed starts is left alone twice as long each time, until one succeeds', () => {
  const view = new ClusterView(NAMES, isOurs);
  view.setNode(testNode('n', 8));
  const coolDownAfter = (nowMs: number): number => {
    view.blame('n', { fault: 'broke', reason: 'no sandbox' }, nowMs);
    return view.pictures()[0]!.picture.coolDownUntilMs! - nowMs;
  };
  expect([0, 30_000, 90_000].map(coolDownAfter)).toEqual([30_000, 60_000, 120_000]);
  view.praise('n');
  expect(coolDownAfter(210_000)).toBe(30_000);
});

test('of starts that fail together a node rests once', () => {
  const view = new ClusterView(NAMES, isOurs);
  view.setNode(testNode('n', 8));
  const blame = (fault: 'broke' | 'refused', nowMs: number): void =>
    view.blame('n', { fault, reason: 'its disk is full' }, nowMs);
  blame('refused', 0);
  for (let at = 0; at < 24; at += 1) blame('broke', 1000 + at);
  expect(view.pictures()[0]!.picture.coolDownUntilMs).toBe(31_023);
  blame('broke', 31_023);
  expect(view.pictures()[0]!.picture.coolDownUntilMs).toBe(91_023);
});

test('beside nodes of amd64 those of another architecture are tainted; Windows always is', () => {
  const view = new ClusterView(NAMES, isOurs);
  const add = (name: string, os: string, arch: string): void => {
    const labels = { 'kubernetes.io/os': os, 'kubernetes.io/arch': arch };
    view.setNode(testNode(name, 8, { metadata: { name, labels } }));
  };
  const tainted = (): object =>
    Object.fromEntries(
      view
        .pictures()
        .map(({ picture }) => [picture.name, picture.taints.map(({ value }) => value).join()]),
    );
  add('arm', 'linux', 'arm64');
  add('window', 'windows', 'amd64');
  expect(tainted()).toEqual({ arm: '', window: 'windows' });
  add('usual', 'linux', 'amd64');
  view.setNode(testNode('unnamed', 8));
  expect(tainted()).toEqual({ arm: 'arm64', window: 'windows', usual: '', unnamed: '' });
  view.removeNode('usual');
  view.removeNode('unnamed');
  expect(tainted()).toEqual({ arm: '', window: 'windows' });
});
