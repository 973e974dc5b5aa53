import type { KubernetesNode, Pod } from './objects.ts';

export const NAMES = { gpu: 'nvidia.com/gpu' };

export const testNode = (name: string, cpu: number, edit: Partial<KubernetesNode> = {}) =>
  ({
    metadata: { name },
    status: {
      allocatable: { cpu: String(cpu), memory: '64Gi', pods: '110' },
      conditions: [{ type: 'Ready', status: 'True' }],
    },
    ...edit,
  }) satisfies KubernetesNode;

export const testPod = (
  name: string,
  nodeName: string,
  cpu: string,
  edit: { readonly phase?: string; readonly agent?: string } = {},
): Pod => ({
  metadata: {
    name,
    namespace: 'majorana',
    ...(edit.agent !== undefined && { labels: { 'majorana.dev/agent': edit.agent } }),
  },
  spec: {
    nodeName,
    containers: [{ name: 'task', resources: { requests: { cpu, memory: '1Gi' } } }],
  },
  status: { phase: edit.phase ?? 'Running' },
});

/** What a runner leaves in its pod: how the attempt ended. */
export const endWord = (attemptId: string, exit: object = {}, edit: object = {}): string =>
  JSON.stringify({
    version: 1,
    kind: 'ended',
    attemptId,
    exit: {
      exitCode: 0,
      isOutOfMemory: false,
      peakMemoryBytes: 0,
      cpuTimeMs: 0,
      startedAtMs: 1,
      endedAtMs: 2,
      leftoverCount: 0,
      ...exit,
    },
    artifacts: [],
    ...edit,
  });
