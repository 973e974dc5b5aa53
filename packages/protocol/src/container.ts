import { z } from 'zod';

const labelKey = z
  .string()
  .max(317)
  .regex(
    /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/,
    'a label such as example.com/pool',
  );
const labelValue = z
  .string()
  .regex(/^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/, 'a label value, at most 63');
/** Of an object of Kubernetes: an RFC 1123 subdomain. */
const objectName = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'a name of Kubernetes: a-z, 0-9, "-" and "."');
const absolutePath = z
  .string()
  .max(1024)
  .regex(/^\/[^\0]*$/, 'an absolute path')
  .refine((text) => !text.split('/').includes('..'), 'a path without ".."');

export const tolerationSchema = z.strictObject({
  /** Empty with Exists: every taint. */
  key: z.union([labelKey, z.literal('')]).default(''),
  operator: z.enum(['Exists', 'Equal']).default('Equal'),
  value: labelValue.optional(),
  /** Absent: every effect. */
  effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional(),
});

const mountBase = { mountPath: absolutePath, isReadOnly: z.boolean().default(true) };
export const mountSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('pvc'), claim: objectName, ...mountBase }),
  z.strictObject({
    kind: z.literal('nfs'),
    server: z.string().regex(/^[A-Za-z0-9.:-]{1,253}$/, 'a host name or an address'),
    path: absolutePath,
    ...mountBase,
  }),
  /** Only where the administrator of the cluster allows this path. */
  z.strictObject({ kind: z.literal('hostPath'), path: absolutePath, ...mountBase }),
  z.strictObject({ kind: z.literal('configMap'), name: objectName, ...mountBase }),
  z.strictObject({ kind: z.literal('secret'), name: objectName, ...mountBase }),
]);

/** What a task needs to run in a container; only agents of clusters take such tasks. */
export const containerSchema = z.strictObject({
  /** Such as registry.example.org/science/xtb:6.7.1 or name@sha256:DIGEST. */
  image: z
    .string()
    .max(512)
    .regex(/^[A-Za-z0-9][A-Za-z0-9._:/@-]*$/, 'an image reference'),
  /** Only nodes with all of these labels. */
  nodeSelector: z.record(labelKey, labelValue).default({}),
  tolerations: z.array(tolerationSchema).max(50).default([]),
  mounts: z.array(mountSchema).max(50).default([]),
  hasHostNetwork: z.boolean().default(false),
  dnsPolicy: z.enum(['ClusterFirst', 'ClusterFirstWithHostNet', 'Default']).optional(),
  /** Nothing of the image can be written; the working directory can. */
  isRootReadOnly: z.boolean().default(false),
});
export type Container = z.output<typeof containerSchema>;
