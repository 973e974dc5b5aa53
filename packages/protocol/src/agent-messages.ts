import type { Resources } from '@majorana/core';
import {
  isKeptPath,
  isKeptText,
  OUTCOME_KINDS,
  parseAttemptId,
  PATH_BYTES_MAX,
} from '@majorana/core';
import { z } from 'zod';
import type { NodesRequest } from './clusters.ts';
import { clusterReportSchema, nodesAnswerSchema } from './clusters.ts';
import type { Container } from './container.ts';
import type { Checkpoint, Gang } from './job-spec.ts';
import { objectIdSchema, resourcesSchema } from './job-spec.ts';

/**
 * Agents pull, outward only. A sync carries everything the agent has to say and is repeated until
 * it is answered; the answer carries everything the agent should do. Both are idempotent, so a
 * lost, doubled or late message changes nothing.
 */
export interface Lease {
  /** `job_42.17.2`; its last number is the epoch that fences earlier attempts. */
  readonly attemptId: string;
  readonly jobName: string;
  /** Program and arguments, placeholders filled; no shell reads them. */
  readonly argv: readonly string[];
  /** The job's own variables, placeholders filled; the agent adds its own below them. */
  readonly env: Readonly<Record<string, string>>;
  readonly inputs: readonly StagedObject[];
  /** Globs below the working directory. */
  readonly outputs: readonly string[];
  /** Of each of its pods. */
  readonly resources: Resources;
  readonly container?: Container;
  readonly gang?: Gang;
  /** 0: none. */
  readonly timeLimitMs: number;
  /** From TERM to KILL. */
  readonly graceMs: number;
  readonly checkpoint?: Checkpoint;
  readonly taskCount: number;
  /** What its runner shows the runner API; only for agents that ask for it. */
  readonly runnerToken?: string;
}

export interface StagedObject {
  /** Relative to the working directory. */
  readonly path: string;
  /** SHA-256 of the content, 64 hexadecimal digits. */
  readonly object: string;
}

export const LOG_STREAMS = ['stdout', 'stderr'] as const;
export type LogStream = (typeof LOG_STREAMS)[number];

/** What an agent is asked for: a log, or what it knows of a start that takes its time. */
export type AgentStream = LogStream | 'start';

/** Someone reads the log of an attempt that has not ended: the agent answers at its next sync. */
export interface LogRequest<Stream extends AgentStream = LogStream> {
  readonly requestId: string;
  readonly attemptId: string;
  readonly stream: Stream;
  readonly offset: number;
  readonly bytesMax: number;
}

/** Tasks of one shape are placed alike, and start or fail to start alike: what a cluster's agent is asked to offer room for. */
export interface WaitingShape {
  /** A hash of the rest. */
  readonly key: string;
  /** Of each pod. */
  readonly resources: Resources;
  readonly container: Pick<Container, 'image' | 'nodeSelector' | 'tolerations' | 'mounts'>;
  /** Of a task on several pods, which are placed together or not at all. */
  readonly nodes?: number;
  /** Tasks of it that may run there have waited for room too long: nodes should be kept for them. */
  readonly isLate?: true;
}

/** What waits for room in clusters, those that go first first. */
export interface WaitingShapes {
  /** A digest of the keys and of what is late: an agent that names it has heard of these. */
  readonly digest: string;
  readonly shapes: readonly WaitingShape[];
}

/** An agent that has not been heard of for this long no longer acts, by its own clock sooner. */
export const SESSION_TTL_MS = 20_000;

export interface AgentOrders {
  /** Leases that the agent has not yet confirmed. */
  readonly leases: readonly Lease[];
  /** Attempts to end: cancelled by a user, or fenced by a later epoch. */
  readonly endAttemptIds: readonly string[];
  /** Ended attempts that are on record: the agent may forget them. */
  readonly forgetAttemptIds: readonly string[];
  /** The digest did not match: the next sync should name all that is held. */
  readonly wantsHeldAttemptIds: boolean;
  /** To agents that offer, when something else waits than they have heard of. */
  readonly waiting?: WaitingShapes;
  readonly logRequests: readonly LogRequest<AgentStream>[];
  readonly nodesRequests?: readonly NodesRequest[];
  /** Another agent of this name acts: this one says nothing, does nothing and asks again. */
  readonly isStandby?: boolean;
}

/** The last moment of a Date: a later one could be kept, and never shown. */
export const TIME_MS_MAX = 8_640_000_000_000_000;
const timeMs = z.number().int().min(0).max(TIME_MS_MAX);
const bytes = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const attemptId = z
  .string()
  .max(64)
  .refine((text) => parseAttemptId(text) !== undefined, 'an attempt id such as job_42.17.2');

export const artifactSchema = z.strictObject({
  role: z.enum(['output', 'stdout', 'stderr']),
  path: z.string().min(1).max(4096),
  object: objectIdSchema,
  sizeBytes: bytes,
});
export type StoredArtifact = z.output<typeof artifactSchema>;
const keptArtifactSchema = artifactSchema.extend({
  path: artifactSchema.shape.path.refine(
    isKeptPath,
    `at most ${PATH_BYTES_MAX} bytes, no NUL, no half of a surrogate pair`,
  ),
});

export const outcomeSchema = z.strictObject({
  kind: z.enum(OUTCOME_KINDS),
  exitCode: z.number().int().min(0).max(255).optional(),
  signal: z.number().int().min(1).max(64).optional(),
  reason: z.string().max(4096).refine(isKeptText, 'no NUL and no half of a surrogate pair'),
  faultyNode: z.string().max(253).optional().describe('the node that broke under it'),
});

export const attemptEventSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('starting'), attemptId, atMs: timeMs }),
  z.strictObject({ kind: z.literal('running'), attemptId, atMs: timeMs }),
  z.strictObject({
    kind: z.literal('ended'),
    attemptId,
    atMs: timeMs,
    /** Absent when the program never started. */
    startedAtMs: timeMs.optional(),
    outcome: outcomeSchema,
    peakMemoryBytes: bytes,
    cpuTimeMs: timeMs,
    artifacts: z.array(keptArtifactSchema).max(100_000),
  }),
]);
export type AttemptEvent = z.output<typeof attemptEventSchema>;
export type EndedEvent = Extract<AttemptEvent, { kind: 'ended' }>;

export const logChunkSchema = z.strictObject({
  requestId: z.string().max(64),
  /** Empty when nothing has been written beyond the offset yet. */
  dataBase64: z.base64().max(4_000_000),
});
export type LogChunk = z.output<typeof logChunkSchema>;

/** Of the shapes that wait, so many of those that go first are told and offered for. */
export const OFFERED_SHAPES_MAX = 256;

export const agentIdSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/);

export const agentSyncSchema = z
  .strictObject({
    agentId: agentIdSchema,
    /**
     * Of agents of whose name there may be two, since what they act on is not theirs alone. `claim`
     * asks whether it may act and says nothing else; `release`: another may, at once.
     */
    session: z
      .strictObject({
        id: z.string().min(8).max(64),
        phase: z.enum(['claim', 'act', 'release']),
      })
      .optional(),
    capacity: resourcesSchema,
    /** What a core costs here in an hour, in any one currency; the cheaper agent goes first. */
    corePricePerHour: z.number().min(0).max(1e6).optional(),
    /** All attempts that have not been acknowledged as ended: at first, and when it is asked for. */
    heldAttemptIds: z.array(attemptId).max(100_000).optional(),
    /** Else: what has been added since the last answer, and an `IdDigest` of all but those that end here. */
    held: z
      .strictObject({
        addedAttemptIds: z.array(attemptId).max(100_000),
        digest: z.string().max(64),
      })
      .optional(),
    events: z.array(attemptEventSchema).max(100_000),
    logChunks: z.array(logChunkSchema).max(1000).default([]),
    /**
     * Of agents that place tasks on nodes: for which shapes, as of a digest, there is room for how
     * many tasks. They are given no other lease. Absent: the agent runs what fits into its capacity.
     */
    offer: z
      .strictObject({
        waitingDigest: z.string().max(64),
        /** Of all shapes together no more may start now. */
        room: z.number().int().min(0).max(1_000_000).optional(),
        shapes: z
          .array(
            z.strictObject({
              key: z.string().max(64),
              count: z.number().int().min(0).max(1_000_000),
              /** So many more have their nodes, once pods that start now have started. */
              soonCount: z.number().int().min(0).max(1_000_000).optional(),
              /** Why not one more, for a person. */
              reason: z.string().max(2000).optional(),
              /** No node has room for one, so none has for what is alike and asks for more. */
              isFull: z.literal(true).optional(),
              /** Nor would there be if nothing ran there. */
              isUnfit: z.literal(true).optional(),
            }),
          )
          .max(OFFERED_SHAPES_MAX),
      })
      .optional(),
    /** How long the server may hold the answer when it has nothing to say. */
    waitMs: z.number().int().min(0).max(60_000),
    /** Its leases are run by runners, each of which needs a token of its own. */
    needsRunnerTokens: z.boolean().optional(),
    /** How its cluster is: now and then, when it has changed. */
    report: clusterReportSchema.optional(),
    nodesAnswers: z.array(nodesAnswerSchema).max(16).optional(),
  })
  .refine((sync) => (sync.heldAttemptIds === undefined) !== (sync.held === undefined), {
    message: 'either heldAttemptIds or held',
    path: ['held'],
  });
export type AgentSync = z.output<typeof agentSyncSchema>;
