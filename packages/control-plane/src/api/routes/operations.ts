import {
  agentSyncSchema,
  agentViewSchema,
  madeTokenSchema,
  nameSchema,
  queueSettingsSchema,
  queueViewSchema,
  ROLES,
  tokenRequestSchema,
  tokenViewSchema,
} from '@majorana/protocol';
import type { StateCounts } from '@majorana/core';
import { TASK_STATES } from '@majorana/core';
import type { Access, QueueSummary } from '@majorana/store';
import { z } from 'zod';
import { DEFAULT_QUEUE } from '../../engine/state.ts';
import type { Api, ApiContext } from '../context.ts';
import { INT32_MAX } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { makeToken } from '../tokens.ts';

const queueView = ({ name, settings, openJobs, counts }: QueueSummary) => ({
  ...DEFAULT_QUEUE,
  ...settings,
  name,
  openJobs,
  counts: Object.fromEntries(
    TASK_STATES.map((state) => [state, counts[state] ?? 0]),
  ) as StateCounts,
});

function addQueues(app: Api, context: ApiContext): void {
  const { engine, reads } = context;
  app.get(
    '/api/v1/queues',
    {
      schema: {
        summary: 'Queues, with what waits and runs in them',
        response: { 200: z.object({ queues: z.array(queueViewSchema) }) },
      },
    },
    async () => ({ queues: (await reads.queues()).map(queueView) }),
  );
  app.put(
    '/api/v1/queues/:name',
    {
      schema: {
        summary: 'Set a queue’s weight, limit and pause',
        params: z.object({ name: nameSchema }),
        body: queueSettingsSchema,
        response: { 200: queueViewSchema },
      },
    },
    async (request) => {
      const { name } = request.params;
      await engine.setQueue(name, request.body);
      const summary = (await reads.queues()).find((queue) => queue.name === name);
      return queueView(summary ?? { name, settings: request.body, openJobs: 0, counts: {} });
    },
  );
}

/** An agent's token speaks for that agent only, and for none that was removed. */
function checkAgent({ engine }: ApiContext, { user }: Access, agentId: string): void {
  if (user !== agentId) {
    const what = `the token is for the agent ${user}, and this one is ${agentId}: give each its own`;
    throw new ProblemError(403, 'forbidden', what);
  }
  if (engine.state.clusters.get(agentId)?.state === 'removed') {
    const what = `cluster ${agentId} was removed; "majorana clusters add ${agentId}" takes it back`;
    throw new ProblemError(403, 'cluster_removed', what);
  }
}

function addAgents(app: Api, context: ApiContext): void {
  const { engine, gateway } = context;
  app.get(
    '/api/v1/agents',
    {
      schema: {
        summary: 'Agents, with what they have and have free, and when each was last heard',
        response: { 200: z.object({ agents: z.array(agentViewSchema) }) },
      },
    },
    () => ({
      agents: [...engine.state.agents.values()].map((agent) => ({
        id: agent.agentId,
        capacity: { ...agent.capacity, countable: { ...agent.capacity.countable } },
        free: { ...agent.free, countable: { ...agent.free.countable } },
        heldCount: agent.leased.size,
        lastSeenMs: agent.lastSeenMs,
      })),
    }),
  );
  app.post(
    '/api/v1/agents/sync',
    {
      schema: {
        summary: 'An agent’s exchange: its news for its orders',
        body: agentSyncSchema,
        response: {
          200: z.object({
            leases: z.array(z.any()),
            endAttemptIds: z.array(z.string()),
            forgetAttemptIds: z.array(z.string()),
            logRequests: z.array(z.any()),
          }),
        },
      },
      // Checked by the compiler; thousands of leases need no second look.
      serializerCompiler: () => (answer) => JSON.stringify(answer),
    },
    async (request) => {
      checkAgent(context, request.access, request.body.agentId);
      return (await gateway.exchange(request.body)) as never;
    },
  );
}

function addTokens(app: Api, context: ApiContext): void {
  const { access } = context;
  app.get(
    '/api/v1/whoami',
    {
      schema: {
        summary: 'Whose token this is',
        response: {
          200: z.object({
            user: z.string(),
            role: z.enum(ROLES),
            project: z.string().nullable(),
          }),
        },
      },
    },
    (request) => request.access,
  );
  app.get(
    '/api/v1/tokens',
    {
      schema: {
        summary: 'Tokens, without their secrets',
        response: { 200: z.object({ tokens: z.array(tokenViewSchema) }) },
      },
    },
    async () => ({ tokens: await access.list() }),
  );
  app.post(
    '/api/v1/tokens',
    {
      schema: {
        summary: 'A new token; its secret is told this once',
        body: tokenRequestSchema,
        response: { 201: madeTokenSchema },
      },
    },
    async (request, reply) => {
      const { user, role, project = null } = request.body;
      if (role === 'agent' && project !== null) {
        const what = 'an agent runs tasks of all projects: its token is for none of them';
        throw new ProblemError(422, 'invalid_input', what, [{ where: 'project', what }]);
      }
      return reply.code(201).send(await makeToken(access, { user, role, project }));
    },
  );
  app.delete(
    '/api/v1/tokens/:tokenId',
    {
      schema: {
        summary: 'Take a token back',
        params: z.object({ tokenId: z.coerce.number().int().min(1).max(INT32_MAX) }),
        response: { 204: z.null() },
      },
    },
    async (request, reply) => {
      const { tokenId } = request.params;
      if (await access.remove(tokenId)) return reply.code(204).send(null);
      throw new ProblemError(404, 'not_found', `there is no token ${tokenId}`);
    },
  );
}

export function addOperationRoutes(app: Api, context: ApiContext): void {
  addQueues(app, context);
  addAgents(app, context);
  addTokens(app, context);
}
