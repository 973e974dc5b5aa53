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

const mountingHost = (path: string): Container =>
  containerOf({ mounts: [{ kind: 'hostPath', path, mountPath: '/data', isReadOnly: false }] });

test('host paths are refused unless the administrator allows what they are below', () => {
  const container = mountingHost('/scratch/a');
  expect(refusalOf(container, options)).toContain('allowed: none');
  expect(refusalOf(container, { ...options, hostPaths: ['/scratch'] })).toBeUndefined();
  expect(refusalOf(container, { ...options, hostPaths: ['/scratch/'] })).toBeUndefined();
  expect(refusalOf(container, { ...options, hostPaths: ['/scr'] })).toContain('allowed: /scr');
});

test('of a host path the administrator’s own is the volume: no link in it leads out of it', () => {
  const allowing = { ...options, hostPaths: ['/scratch', '/data/sets/'] };
  const mountOf = (path: string): object[] => {
    const container = mountingHost(path);
    expect(refusalOf(container, allowing)).toBeUndefined();
    const { spec } = makePod(leaseOf({ container }), 'n1', allowing) as {
      spec: { volumes: object[]; containers: { volumeMounts: object[] }[] };
    };
    return [spec.volumes.at(-1)!, spec.containers[0]!.volumeMounts.at(-1)!];
  };
  const mount = { name: 'mount-0', mountPath: '/data', readOnly: false };
  expect(mountOf('/scratch/user//a/./b')).toEqual([
    { name: 'mount-0', hostPath: { path: '/scratch' } },
    { ...mount, subPath: 'user/a/b' },
  ]);
  expect(mountOf('/data/sets')).toEqual([
    { name: 'mount-0', hostPath: { path: '/data/sets/' } },
    mount,
  ]);
});

test.each([
  '/',
  '//',
  '/majorana',
  '/majorana/attempt',
  '/./majorana',
  '/proc',
  '/sys/fs',
  '/dev/shm',
])(
  'a mount at %s, which hides what the runner or the kernel has there, is refused',
  (mountPath) => {
    const container = containerOf({ mounts: [{ kind: 'pvc', claim: 'a', mountPath }] });
    expect(refusalOf(container, options)).toContain('cannot mount');
  },
);

test('what is no container of a job is refused, whoever says it', () => {
  const outside = { kind: 'hostPath', path: '/scratch/../etc', mountPath: '/d', isReadOnly: true };
  for (const edit of [{ mounts: [outside] }, { privileged: true }, { image: '$(evil)' }]) {
    const container = { ...containerOf(), ...edit } as unknown as Container;
    expect(refusalOf(container, { ...options, hostPaths: ['/scratch'] })).toContain('not as a job');
  }
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
