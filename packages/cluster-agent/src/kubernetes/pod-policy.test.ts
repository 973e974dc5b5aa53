import { parseAttemptId } from '@majorana/core';
import { containerSchema, jobSpecSchema, tolerationSchema } from '@majorana/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import type { PodOptions } from './pod.ts';
import { AGENT_LABEL, makePod, podName, refusalOf } from './pod.ts';

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

/** Keys and names that pass a schema, so that their values are what is tried. */
const plain = fc.constantFrom('a', 'A1', 'pool');
/** Text that would be more than text somewhere. */
const hostile = fc.oneof(
  fc.string(),
  fc.constantFrom(
    '__proto__',
    'constructor',
    AGENT_LABEL,
    'majorana.dev/attempt',
    'hostPID',
    'privileged',
    'a\nhostNetwork: true',
    '{"privileged":true}',
    '../../etc',
    '/etc/../root',
    '/',
    '/var/run/docker.sock',
    '/scratch/../etc/shadow',
    '/scratch/a',
    '/scratchy',
    'registry',
    'cpu',
    'memory',
    'hugepages-2Mi',
    'nvidia.com/gpu',
    'requests.cpu',
    '$(MAJORANA_RUNNER_TOKEN)',
  ),
);
const hostileValue = fc.oneof(
  hostile,
  fc.boolean(),
  fc.integer(),
  fc.constant(null),
  fc.constant({ privileged: true }),
);
const field = (usual: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 30, arbitrary: usual }, { weight: 1, arbitrary: hostileValue });
const path = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('/scratch/a/b', '/scratch/a', '/data/sets/.//c') },
  { weight: 1, arbitrary: fc.constantFrom('/scratch/../etc', '/scratchy', '/', '/scratch/./..') },
  { weight: 1, arbitrary: hostile.map((text) => `/${text}`) },
);
const mounts = fc.record(
  {
    kind: field(fc.constantFrom('hostPath', 'hostPath', 'pvc', 'nfs', 'configMap', 'secret')),
    claim: field(fc.constantFrom('data', 'registry')),
    name: field(fc.constantFrom('data', 'registry')),
    server: field(fc.constant('10.0.0.1')),
    path: field(path),
    mountPath: field(
      fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom('/data', '/mnt/a') },
        { weight: 1, arbitrary: path },
      ),
    ),
    isReadOnly: field(fc.boolean()),
  },
  { requiredKeys: ['kind', 'mountPath'] },
);
const tolerations = fc.record(
  {
    key: field(plain),
    operator: field(fc.constantFrom('Exists', 'Equal')),
    value: field(plain),
    effect: field(fc.constantFrom('NoSchedule', 'NoExecute')),
  },
  { requiredKeys: [] },
);
const FIELDS = new Map([
  ['pvc', ['claim']],
  ['nfs', ['server', 'path']],
  ['hostPath', ['path']],
]);
/** Each kind of mount with its own fields only, or it would never get past the schema. */
const ownFields = (mount: Record<string, unknown>): Record<string, unknown> => {
  const own = FIELDS.get(String(mount['kind'])) ?? ['name'];
  const all = ['kind', ...own, 'mountPath', 'isReadOnly'];
  return Object.fromEntries(Object.entries(mount).filter(([name]) => all.includes(name)));
};
const countables = fc.constantFrom(
  'cpu',
  'memory',
  'pods',
  'hugepages-2Mi',
  'nvidia.com/gpu',
  'fpga',
);
const known = fc.record(
  {
    image: field(fc.constantFrom('science:1', 'registry.example.org/a/b@sha256:0')),
    nodeSelector: field(fc.dictionary(plain, plain, { maxKeys: 2 })),
    tolerations: field(fc.array(tolerations, { maxLength: 1 })),
    mounts: field(fc.array(mounts.map(ownFields), { maxLength: 2 })),
    hasHostNetwork: field(fc.boolean()),
    dnsPolicy: field(fc.constantFrom('ClusterFirst', 'Default')),
    isRootReadOnly: field(fc.boolean()),
  },
  { requiredKeys: ['image'] },
);
/** Fields that a pod has and a job has not. */
const more = fc.constantFrom(
  {},
  {},
  {},
  { hostPID: true },
  { securityContext: { privileged: true } },
  { serviceAccountName: 'admin' },
  { labels: { [AGENT_LABEL]: 'other' } },
);
const container = fc.tuple(known, more).map(([one, two]) => ({ ...one, ...two }));
const spec = fc.record(
  {
    argv: fc.array(hostile, { minLength: 1, maxLength: 3 }),
    name: hostile.map((text) => `n${text}`),
    labels: fc.dictionary(plain, hostile, { maxKeys: 2 }),
    env: fc.dictionary(plain, hostile, { maxKeys: 2 }),
    container,
    resources: fc.record({ countable: fc.dictionary(countables, fc.integer({ min: 1, max: 9 })) }),
  },
  { requiredKeys: ['argv', 'container'] },
);

const policies: fc.Arbitrary<PodOptions> = fc
  .record({
    hostPaths: fc.constantFrom([], ['/scratch'], ['/data', '/scratch/a/']),
    allowsHostNetwork: fc.boolean(),
  })
  .map((policy) => ({ ...options, ...policy, annotations: { 'example.org/mesh': 'off' } }));

const readOnlyRoot = z.strictObject({
  allowPrivilegeEscalation: z.literal(false),
  capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
  readOnlyRootFilesystem: z.boolean(),
});
const relative = z
  .string()
  .refine((text) => !text.startsWith('/') && !text.split('/').includes('..'));
const volume = (hostPaths: readonly string[]) =>
  z.union([
    z.strictObject({ name: z.literal('majorana'), emptyDir: z.strictObject({}) }),
    z.strictObject({
      name: z.literal('shm'),
      emptyDir: z.strictObject({ medium: z.literal('Memory'), sizeLimit: z.string() }),
    }),
    z.strictObject({
      name: z.string().regex(/^mount-\d+$/),
      persistentVolumeClaim: z.strictObject({ claimName: z.string() }),
    }),
    z.strictObject({
      name: z.string().regex(/^mount-\d+$/),
      nfs: z.strictObject({ server: z.string(), path: z.string() }),
    }),
    z.strictObject({
      name: z.string().regex(/^mount-\d+$/),
      configMap: z.strictObject({ name: z.string() }),
    }),
    z.strictObject({
      name: z.string().regex(/^mount-\d+$/),
      secret: z.strictObject({ secretName: z.string().refine((name) => name !== 'registry') }),
    }),
    z.strictObject({
      name: z.string().regex(/^mount-\d+$/),
      hostPath: z.strictObject({ path: z.string().refine((one) => hostPaths.includes(one)) }),
    }),
  ]);
const mounted = z.strictObject({
  name: z.string().regex(/^(majorana|shm|mount-\d+)$/),
  mountPath: z.string().startsWith('/'),
  readOnly: z.boolean().optional(),
  subPath: relative.optional(),
});
const quantities = z.record(
  z.string().refine((name) => !['pods', 'nvidia.com/gpu'].includes(name)),
  z.string().regex(/^\d+m?$/),
);

/** All that a pod of a task may be, field by field: what is not named here is not allowed. */
const allowedPod = ({ hostPaths, allowsHostNetwork = false }: PodOptions) =>
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('Pod'),
    metadata: z.strictObject({
      name: z.literal('majorana-1-0-1'),
      namespace: z.literal('majorana'),
      labels: z.strictObject({ [AGENT_LABEL]: z.literal('lab') }),
      annotations: z.strictObject({
        'example.org/mesh': z.literal('off'),
        'majorana.dev/attempt': z.literal('job_1.0.1'),
      }),
    }),
    spec: z.strictObject({
      nodeName: z.literal('n1'),
      restartPolicy: z.literal('Never'),
      automountServiceAccountToken: z.literal(false),
      enableServiceLinks: z.literal(false),
      terminationGracePeriodSeconds: z.literal(21),
      hostNetwork: allowsHostNetwork ? z.literal(true).optional() : z.undefined().optional(),
      dnsPolicy: z.enum(['ClusterFirst', 'ClusterFirstWithHostNet', 'Default']).optional(),
      tolerations: z.array(tolerationSchema).optional(),
      imagePullSecrets: z.tuple([z.strictObject({ name: z.literal('registry') })]),
      securityContext: z.strictObject({
        runAsNonRoot: z.literal(true),
        runAsUser: z.literal(10_001),
        runAsGroup: z.literal(10_001),
        fsGroup: z.literal(10_001),
        seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
      }),
      volumes: z.array(volume(hostPaths)),
      initContainers: z.tuple([
        z.strictObject({
          name: z.literal('runner'),
          image: z.literal('runner:1'),
          args: z.tuple([z.literal('install'), z.literal('/majorana')]),
          resources: z.object({}),
          securityContext: readOnlyRoot,
          volumeMounts: z.tuple([mounted]),
        }),
      ]),
      containers: z.tuple([
        z.strictObject({
          name: z.literal('task'),
          image: containerSchema.shape.image,
          command: z.tuple([
            z.literal('/majorana/majorana-runner'),
            z.literal('run'),
            z.literal('--folder'),
            z.literal('/majorana/attempt'),
            z.literal('--grace-ms'),
            z.literal('21000'),
          ]),
          env: z.tuple([
            z.strictObject({
              name: z.literal('MAJORANA_RUNNER_URL'),
              value: z.literal(options.runnerUrl),
            }),
            z.strictObject({
              name: z.literal('MAJORANA_ATTEMPT_ID'),
              value: z.literal('job_1.0.1'),
            }),
            z.strictObject({
              name: z.literal('MAJORANA_RUNNER_TOKEN'),
              value: z.literal('secret'),
            }),
          ]),
          resources: z.strictObject({ requests: quantities, limits: quantities }),
          securityContext: readOnlyRoot,
          volumeMounts: z.array(mounted),
        }),
      ]),
    }),
  });

test('no job, whatever stands in its fields, gets a pod beyond the policy', () => {
  const seen = { made: 0, refused: 0, mounts: 0, hostPaths: 0 };
  fc.assert(
    fc.property(spec, policies, (asked, policy) => {
      const parsed = jobSpecSchema.safeParse(asked);
      if (!parsed.success) return;
      const { container: given, resources, argv, env, name } = parsed.data;
      if (refusalOf(given!, policy) !== undefined) {
        seen.refused += 1;
        return;
      }
      const lease = {
        attemptId: 'job_1.0.1',
        jobName: name,
        argv,
        env,
        inputs: [],
        outputs: argv,
        resources,
        container: given!,
        timeLimitMs: 0,
        graceMs: 1000,
        taskCount: 1,
        runnerToken: 'secret',
      };
      const pod = makePod(lease, 'n1', policy);
      expect(allowedPod(policy).safeParse(pod).error?.issues).toBeUndefined();
      const { requests } = (pod as { spec: { containers: { resources: { requests: object } }[] } })
        .spec.containers[0]!.resources;
      expect(requests).toMatchObject({ cpu: '1000m', memory: String(resources.memoryBytes) });
      seen.made += 1;
      seen.mounts += given!.mounts.length;
      seen.hostPaths += given!.mounts.filter(({ kind }) => kind === 'hostPath').length;
    }),
    { numRuns: 3000 },
  );
  // Or the property would be true of nothing.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(20);
});

test('a pod’s name is its attempt’s: what is no attempt has none, and no two have the same', () => {
  const name = /^majorana-\d+-\d+-\d+(-\d+)?$/;
  const ids = fc.oneof(
    fc.string(),
    fc.tuple(fc.nat(), fc.nat(), fc.nat()).map(([job, task, at]) => `job_${job}.${task}.${at}`),
    fc.constantFrom('job_1.0.1\n', 'job_01.0.1', 'job_1.0.1/../x', 'JOB_1.0.1', ' job_1.0.1'),
  );
  fc.assert(
    fc.property(ids, ids, (one, other) => {
      if (parseAttemptId(one) === undefined) return;
      expect(podName(one)).toMatch(name);
      if (parseAttemptId(other) === undefined) return;
      expect(podName(one) === podName(other)).toBe(one === other);
    }),
  );
});
