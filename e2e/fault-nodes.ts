import type { KubernetesApi, KubernetesObject } from '@majorana/test-servers';

const pathOf = (name: string): string => `/api/v1/nodes/${name}`;

/** Its kubelet is no longer heard; KWOK, which would mend that, is told to take an hour for it. */
export async function silenceNode(admin: KubernetesApi, name: string): Promise<void> {
  const annotations = { 'majorana.test/boot-ms': '3600000' };
  await admin.request('PATCH', pathOf(name), { metadata: { annotations } });
  await setReady(admin, name, 'Unknown');
}

export async function reviveNode(admin: KubernetesApi, name: string): Promise<void> {
  await setReady(admin, name, 'True');
}

async function setReady(admin: KubernetesApi, name: string, status: string): Promise<void> {
  const now = new Date().toISOString();
  const condition = { type: 'Ready', status, reason: 'Test', lastTransitionTime: now };
  await admin.request('PATCH', `${pathOf(name)}/status`, { status: { conditions: [condition] } });
}

export async function taintNode(
  admin: KubernetesApi,
  name: string,
  taints: readonly object[],
): Promise<void> {
  await admin.request('PATCH', pathOf(name), { spec: { taints } });
}

export const nodeOf = (pod: KubernetesObject): string | undefined =>
  (pod['spec'] as { nodeName?: string }).nodeName;
