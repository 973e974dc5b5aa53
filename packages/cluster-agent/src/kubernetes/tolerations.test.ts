import { DEFAULT_RESOURCES } from '@majorana/core';
import { containerSchema } from '@majorana/protocol';
import { expect, test } from 'vitest';
import { ClusterView } from './cluster-view.ts';
import { Groups } from './groups.ts';
import type { KubernetesNode } from './objects.ts';
import { NAMES, testNode } from './test-objects.ts';

const ARCH = 'kubernetes.io/arch';
const EVERYTHING = [{ operator: 'Exists' }];

const taint = (key: string): KubernetesNode['spec'] => ({
  taints: [{ key, effect: 'NoSchedule' }],
});
const machine = (labels: Readonly<Record<string, string>>): Partial<KubernetesNode> => ({
  metadata: { name: '', labels },
});

/** Each has room for eight tasks. */
const NODES: Readonly<Record<string, Partial<KubernetesNode>>> = {
  usual: machine({ 'kubernetes.io/os': 'linux', [ARCH]: 'amd64' }),
  window: machine({ 'kubernetes.io/os': 'windows', [ARCH]: 'amd64' }),
  arm: machine({ 'kubernetes.io/os': 'linux', [ARCH]: 'arm64' }),
  armOfCloud: {
    ...machine({ 'kubernetes.io/os': 'linux', [ARCH]: 'arm64' }),
    spec: { taints: [{ key: ARCH, value: 'arm64', effect: 'NoSchedule' }] },
  },
  cordoned: { spec: { unschedulable: true, ...taint('node.kubernetes.io/unschedulable') } },
  control: { spec: taint('node-role.kubernetes.io/control-plane') ?? {} },
  virtual: { spec: taint('virtual-kubelet.io/provider') ?? {} },
  gpu: { spec: taint('nvidia.com/gpu') ?? {} },
  full: { spec: taint('node.kubernetes.io/disk-pressure') ?? {} },
  shut: { spec: taint('node.cloudprovider.kubernetes.io/shutdown') ?? {} },
  going: { spec: taint('ToBeDeletedByClusterAutoscaler') ?? {} },
  reclaimed: { spec: taint('aws-node-termination-handler/spot-itn') ?? {} },
  preempted: { spec: taint('cloud.google.com/impending-node-termination') ?? {} },
  disrupted: { spec: taint('karpenter.sh/disrupted') ?? {} },
};

function nodesFor(asked: object): string[] {
  const container = containerSchema.parse({ image: 'a:1', ...asked });
  const group = new Groups().ofShape({ key: 'k', resources: DEFAULT_RESOURCES, container }, 0);
  return Object.keys(NODES).filter((name) => {
    const view = new ClusterView(NAMES, () => false);
    // Beside one that is full, so that there are nodes of the common architecture.
    view.setNode(testNode('other', 0));
    const edit = NODES[name]!;
    view.setNode(testNode(name, 8, { ...edit, metadata: { ...edit.metadata, name } }));
    return view.index.countFitting(group, 0) > 0;
  });
}

test('who tolerates nothing is placed where nothing is to be tolerated', () => {
  expect(nodesFor({})).toEqual(['usual']);
});

test('who tolerates everything is placed where administrators keep others away, and nowhere else', () => {
  expect(nodesFor({ tolerations: EVERYTHING })).toEqual(['usual', 'control', 'virtual', 'gpu']);
});

test('a toleration of an architecture or a system makes no image run there', () => {
  const tolerations = [ARCH, 'kubernetes.io/os'].map((key) => ({ key, operator: 'Exists' }));
  expect(nodesFor({ tolerations })).toEqual(['usual']);
});

test('a node selector that names an architecture is what leads there, also past a cloud’s own taint', () => {
  const nodeSelector = { [ARCH]: 'arm64' };
  expect(nodesFor({ nodeSelector })).toEqual(['arm', 'armOfCloud']);
  expect(nodesFor({ nodeSelector, tolerations: EVERYTHING })).toEqual(['arm', 'armOfCloud']);
  expect(nodesFor({ nodeSelector: { [ARCH]: 'amd64' }, tolerations: EVERYTHING })).toEqual([
    'usual',
  ]);
});

test('a node in trouble is tolerated by the name of its trouble alone', () => {
  const key = 'node.kubernetes.io/disk-pressure';
  expect(nodesFor({ tolerations: [{ key, operator: 'Exists' }] })).toEqual(['usual', 'full']);
});

test('no toleration leads to a cordoned node', () => {
  const key = 'node.kubernetes.io/unschedulable';
  expect(nodesFor({ tolerations: [{ key, operator: 'Exists' }] })).toEqual(['usual']);
});
