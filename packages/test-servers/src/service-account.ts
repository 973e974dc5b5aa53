import type { KubernetesApi } from './kubernetes-api.ts';

/** A rule of a role, as Kubernetes writes it. */
export interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const NAMESPACE = 'default';
const rbac = '/apis/rbac.authorization.k8s.io/v1';
const apiGroup = 'rbac.authorization.k8s.io';

/** Makes the account, its role and the binding, and answers with a token that outlasts a cut of hours. */
export async function createServiceAccount(
  admin: KubernetesApi,
  name: string,
  rules: readonly PolicyRule[],
): Promise<string> {
  const metadata = { name };
  const accounts = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`;
  await admin.create(accounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
  await admin.create(`${rbac}/clusterroles`, {
    apiVersion: `${apiGroup}/v1`,
    kind: 'ClusterRole',
    metadata,
    rules,
  });
  await admin.create(`${rbac}/clusterrolebindings`, {
    apiVersion: `${apiGroup}/v1`,
    kind: 'ClusterRoleBinding',
    metadata,
    roleRef: { apiGroup, kind: 'ClusterRole', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace: NAMESPACE }],
  });
  const { status } = await admin.create<{ status: { token: string } }>(
    `${accounts}/${name}/token`,
    {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 28_800 },
    },
  );
  return status.token;
}
