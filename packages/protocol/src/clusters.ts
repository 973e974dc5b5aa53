import { z } from 'zod';
import { nameSchema, resourcesSchema } from './job-spec.ts';

/** What a cluster's agent tells of it, and what the platform engineer is shown and may order. */

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const timeMs = count.describe('milliseconds since 1970, UTC');
const short = z.string().max(256);

/**
 * `active` is given leases; `cordoned` keeps what it has; `draining` gives back what it has, at the
 * latest when its grace is over; `removed` is not listened to.
 */
export const CLUSTER_STATES = ['active', 'cordoned', 'draining', 'removed'] as const;
export type ClusterState = (typeof CLUSTER_STATES)[number];

/**
 * How long a cluster's agent may be silent before what it holds is run elsewhere. Nobody gives up a
 * cluster within a minute: an agent that is started anew takes as long.
 */
export const LEASE_TTL_MS_MIN = 60_000;
/** What waits for a dead cluster longer than a week is looked at by a person. */
export const LEASE_TTL_MS_MAX = 7 * 86_400_000;
/** A cut of an hour changes nothing, and there is time to come back. */
export const LEASE_TTL_MS_DEFAULT = 90 * 60_000;

/** Groups of nodes that one report tells apart; the rest of a wilder cluster is one group. */
export const NODE_GROUPS_MAX = 20;
export const FAULTS_MAX = 20;
export const NODES_PER_PAGE_MAX = 500;
/** Of one node that are told. */
export const TAINTS_MAX = 10;

const nodeGroupSchema = z.object({
  name: short.describe('instance type, or the size of its nodes'),
  nodeCount: count,
  allocatable: resourcesSchema,
  allocated: resourcesSchema.describe('by pods of ours and of others'),
});

export const clusterReportSchema = z.object({
  kubernetesVersion: short,
  nodes: z.object({ count, ready: count, cordoned: count, cooling: count }),
  allocatable: resourcesSchema,
  allocatedByOurs: resourcesSchema,
  allocatedByOthers: resourcesSchema.describe('daemon sets and other people’s pods'),
  groups: z.array(nodeGroupSchema).max(NODE_GROUPS_MAX + 1),
  podsByPhase: z.record(short, count).describe('our pods'),
  otherPodCount: count,
  window: z.object({
    limit: count.describe('pods created and not yet running, at most'),
    starting: count,
    waiting: count.describe('leases that wait for a node or for the window'),
    why: z.string().max(1000).describe('why the limit is what it is'),
  }),
  api: z.object({
    latencyMsP50: count,
    latencyMsP95: count,
    requestCount: count.describe('since the agent started'),
    refusals: z.record(short, count).describe('by status; 0: no answer'),
  }),
  faults: z
    .array(z.object({ node: short, fault: z.string().max(500), untilMs: timeMs }))
    .max(FAULTS_MAX)
    .describe('nodes that failed starts, the latest first, and until when they are left alone'),
});
export type ClusterReport = z.output<typeof clusterReportSchema>;

export const clusterNodeSchema = z.object({
  name: short,
  group: short,
  isReady: z.boolean(),
  isCordoned: z.boolean(),
  coolingUntilMs: timeMs.nullable(),
  taints: z
    .array(z.string().max(400))
    .max(TAINTS_MAX)
    .default([])
    .describe('KEY=VALUE:EFFECT; only jobs that tolerate them run there'),
  fault: z.string().max(500),
  allocatable: resourcesSchema,
  allocated: resourcesSchema,
  ourPodCount: count,
  podCount: count,
});
export type ClusterNode = z.output<typeof clusterNodeSchema>;

/** Someone looks at the nodes: the agent answers with its next sync. */
export interface NodesRequest {
  readonly requestId: string;
  /** Names in their order, behind this one. */
  readonly after: string;
  readonly limit: number;
}

export const nodesAnswerSchema = z.strictObject({
  requestId: z.string().max(64),
  nodes: z.array(clusterNodeSchema).max(NODES_PER_PAGE_MAX),
  next: short.nullable(),
});
export type NodesAnswer = z.output<typeof nodesAnswerSchema>;

export const clusterViewSchema = z.object({
  name: z.string(),
  state: z.enum(CLUSTER_STATES),
  sinceMs: timeMs.describe('when it came into this state'),
  endsAtMs: timeMs.nullable().describe('of a drain: when what still runs is ended'),
  leaseTtlMs: count.describe('how long its agent may be silent before its tasks run elsewhere'),
  corePricePerHour: z.number().nullable().describe('as its agent says; null: not known'),
  dataPricePerGb: z.number().describe('of bringing data there from the object store, and back'),
  isConnected: z.boolean().describe('its agent was heard within the last 20 s'),
  lastSeenMs: timeMs.nullable().describe('since this control plane started'),
  heldCount: count.describe('attempts that its agent holds'),
  leasesEndAtMs: timeMs
    .nullable()
    .describe('of one that is silent and holds attempts: until when they are kept for it'),
  report: clusterReportSchema.nullable(),
  reportedAtMs: timeMs.nullable(),
});
export type ClusterView = z.output<typeof clusterViewSchema>;

export const nodesPageSchema = z.object({
  nodes: z.array(clusterNodeSchema),
  next: z.string().nullable().describe('value of `after` for the next page'),
});
export type NodesPage = z.output<typeof nodesPageSchema>;

/** Of a cluster: also the user of its agent's token, and a label of its pods. */
export const clusterNameSchema = nameSchema.refine(
  (text) => /[A-Za-z0-9]$/.test(text),
  'ends with a letter or digit: it is a label of its pods',
);

/** What is not named stays as it is. */
export const clusterSettingsSchema = z.strictObject({
  leaseTtlMs: z
    .number()
    .int()
    .min(LEASE_TTL_MS_MIN)
    .max(LEASE_TTL_MS_MAX)
    .optional()
    .describe('how long its agent may be silent before its tasks run elsewhere'),
  dataPricePerGb: z
    .number()
    .min(0)
    .max(1e6)
    .optional()
    .describe('what a gigabyte costs that is brought there from the object store, or back'),
});
export type ClusterSettings = z.output<typeof clusterSettingsSchema>;

export const drainRequestSchema = z.strictObject({
  /** What runs may go on for so long. */
  graceMs: z.number().int().min(0).max(604_800_000).default(300_000),
});
export type DrainRequest = z.input<typeof drainRequestSchema>;
