import { DEFAULT_RESOURCES } from '@majorana/core';
import type { Container, Lease } from '@majorana/protocol';
import { containerSchema } from '@majorana/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PodOptions } from './pod.ts';
import { makePod, refusalOf } from './pod.ts';

const options: PodOptions = {
  agentId: 'lab',
  namespace: 'majorana',
  runnerImage: 'runner:1',
  runnerUrl: 'https://majorana.example.org',
  gpuResource: 'nvidia.com/gpu',
  hostPaths: [],
  runAsUser: 10_001,
  imagePullSecrets: ['registry'],
  annotations: {},
};
const containerOf = (edit: object = {}): Container =>
  containerSchema.parse({ image: 'science:1', ...edit });

const leaseOf = (edit: Partial<Lease> = {}): Lease => ({
  attemptId: 'job_1.0.1',
  jobName: 'a',
  argv: ['true'],
  env: {},
  inputs: [],
  outputs: [],
  resources: DEFAULT_RESOURCES,
  container: containerOf(),
  timeLimitMs: 0,
  graceMs: 1000,
  taskCount: 1,
  runnerToken: 'secret',
  ...edit,
});

test('a pod is not root, has no capability and no account of the cluster', () => {
  const { spec } = makePod(leaseOf(), 'n1', options) as {
    spec: Record<string, unknown> & { containers: object[]; initContainers: object[] };
  };
  expect(spec).toMatchObject({
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 10_001,
      seccompProfile: { type: 'RuntimeDefault' },
    },
  });
  for (const container of [...spec.initContainers, ...spec.containers])
    expect(container).toMatchObject({
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    });
  for (const absent of ['hostNetwork', 'hostPID', 'hostIPC']) expect(spec[absent]).toBeUndefined();
});

test('the root of the file system is read-only where the job asks for it', () => {
  const container = containerOf({ isRootReadOnly: true });
  const pod = makePod(leaseOf({ container }), 'n1', options);
  expect(pod).toMatchObject({
    spec: { containers: [{ securityContext: { readOnlyRootFilesystem: true } }] },
  });
});

test('nothing that a user writes is in a pod but its image, mounts and tolerations', () => {
  const marked = fc.string().map((text) => `MARK${text}`);
  fc.assert(
    fc.property(marked, fc.array(marked), fc.dictionary(marked, marked), (jobName, argv, env) => {
      const lease = leaseOf({ jobName, argv, env, outputs: argv });
      expect(JSON.stringify(makePod(lease, 'n1', options))).not.toContain('MARK');
    }),
  );
});

test('host paths are refused unless the administrator allows what they are below', () => {
  const container = containerOf({
    mounts: [{ kind: 'hostPath', path: '/scratch/a', mountPath: '/data' }],
  });
  expect(refusalOf(container, options)).toContain('allowed: none');
  expect(refusalOf(container, { ...options, hostPaths: ['/scratch'] })).toBeUndefined();
  expect(refusalOf(container, { ...options, hostPaths: ['/scr'] })).toContain('allowed: /scr');
});

test('the node’s network is refused unless the administrator allows it', () => {
  const container = containerOf({ hasHostNetwork: true });
  expect(refusalOf(container, options)).toContain('network of its nodes');
  expect(refusalOf(container, { ...options, allowsHostNetwork: true })).toBeUndefined();
});

test('the secret that images are pulled with cannot be mounted, others can', () => {
  const mounting = (name: string): Container =>
    containerOf({ mounts: [{ kind: 'secret', name, mountPath: '/keys' }] });
  expect(refusalOf(mounting('registry'), options)).toContain('not for tasks');
  expect(refusalOf(mounting('licence'), options)).toBeUndefined();
});
