import type { TestKubernetes } from './kubernetes.ts';

const NAME = 'pods';
const pathOf = (namespace: string): string => `/api/v1/namespaces/${namespace}/resourcequotas`;

/**
 * So many pods more may be made in the namespace. No controller counts here: what is deleted makes
 * no room again, and the status, which admission goes by, is written as the controller would.
 */
export async function setPodQuota(
  { admin }: TestKubernetes,
  namespace: string,
  podsMax: number,
): Promise<void> {
  const hard = { pods: String(podsMax) };
  await liftPodQuota({ admin }, namespace);
  await admin.create(pathOf(namespace), {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: NAME },
    spec: { hard },
  });
  const status = { hard, used: { pods: '0' } };
  await admin.request('PATCH', `${pathOf(namespace)}/${NAME}/status`, { status });
}

export async function liftPodQuota(
  { admin }: Pick<TestKubernetes, 'admin'>,
  namespace: string,
): Promise<void> {
  await admin.delete(`${pathOf(namespace)}/${NAME}`).catch((error: { status?: number }) => {
    if (error.status !== 404) throw error;
  });
}
