import type { ClusterView } from '@majorana/protocol';
import {
  clusterNameSchema,
  clusterSettingsSchema,
  clusterViewSchema,
  drainRequestSchema,
  madeTokenSchema,
  NODES_PER_PAGE_MAX,
  nodesPageSchema,
} from '@majorana/protocol';
import type { ClusterRecord } from '@majorana/store';
import { z } from 'zod';
import { heldTasksOf } from '../../engine/clusters.ts';
import type { Api, ApiContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { makeToken } from '../tokens.ts';

const nameParams = z.object({ name: clusterNameSchema });

function findCluster({ engine }: ApiContext, name: string): ClusterRecord {
  const cluster = engine.state.clusters.get(name);
  if (cluster === undefined || cluster.state === 'removed')
    throw new ProblemError(404, 'not_found', `there is no cluster ${name}`);
  return cluster;
}

function viewOf({ engine, clusters }: ApiContext, cluster: ClusterRecord): ClusterView {
  const { name, state, sinceMs, endsAtMs, leaseTtlMs, dataPricePerGb } = cluster;
  const agent = engine.state.agents.get(name);
  const silence = engine.silenceOf(name);
  const kept = clusters.reportOf(name);
  const corePricePerHour = agent?.corePricePerHour ?? Infinity;
  return {
    name,
    state,
    sinceMs,
    endsAtMs,
    leaseTtlMs,
    corePricePerHour: corePricePerHour < Infinity ? corePricePerHour : null,
    dataPricePerGb,
    isConnected: agent !== undefined && silence === undefined,
    lastSeenMs: agent?.lastSeenMs ?? engine.state.sessionSeenMs.get(name) ?? null,
    heldCount: heldTasksOf(engine.state, name).length,
    leasesEndAtMs: silence?.leasesEndAtMs ?? null,
    report: kept?.report ?? null,
    reportedAtMs: kept?.atMs ?? null,
  };
}

function addReads(app: Api, context: ApiContext): void {
  app.get(
    '/api/v1/clusters',
    {
      schema: {
        summary: 'Clusters, each as its agent last reported it',
        response: { 200: z.object({ clusters: z.array(clusterViewSchema) }) },
      },
    },
    () => ({
      clusters: [...context.engine.state.clusters.values()]
        .filter(({ state }) => state !== 'removed')
        .toSorted((a, b) => (a.name < b.name ? -1 : 1))
        .map((cluster) => viewOf(context, cluster)),
    }),
  );
  app.get(
    '/api/v1/clusters/:name',
    {
      schema: {
        summary: 'One cluster: nodes, room, pods, the dispatch window and why it has its size',
        params: nameParams,
        response: { 200: clusterViewSchema },
      },
    },
    (request) => viewOf(context, findCluster(context, request.params.name)),
  );
  app.get(
    '/api/v1/clusters/:name/nodes',
    {
      schema: {
        summary: 'A page of a cluster’s nodes, asked of its agent now',
        params: nameParams,
        querystring: z.object({
          after: z.string().max(256).default('').describe('`next` of the page before'),
          limit: z.coerce.number().int().min(1).max(NODES_PER_PAGE_MAX).default(100),
        }),
        response: { 200: nodesPageSchema },
      },
    },
    async (request) => {
      const { name } = findCluster(context, request.params.name);
      const { after, limit } = request.query;
      const silence = context.engine.silenceOf(name);
      const isConnected = context.engine.state.agents.has(name) && silence === undefined;
      const page = isConnected
        ? await context.clusters.readNodes(name, { after, limit })
        : undefined;
      if (page !== undefined) return page;
      const is = silence === undefined ? 'does not answer' : `has been ${silence.sentence}`;
      const what = `the agent of cluster ${name} ${is}; see that it runs, and ask again`;
      throw new ProblemError(503, 'agent_silent', what);
    },
  );
}

function addOrders(app: Api, context: ApiContext): void {
  const { engine } = context;
  const response = { 200: clusterViewSchema };
  const show = (name: string): ClusterView => viewOf(context, findCluster(context, name));
  app.put(
    '/api/v1/clusters/:name',
    {
      schema: {
        summary: 'Make a cluster known, before its agent connects',
        params: nameParams,
        response,
      },
    },
    async ({ params: { name } }) => {
      await engine.addCluster(name);
      return show(name);
    },
  );
  app.post(
    '/api/v1/clusters/:name/cordon',
    {
      schema: {
        summary: 'Give a cluster no new leases; what it has goes on',
        params: nameParams,
        response,
      },
    },
    async ({ params: { name } }) => {
      findCluster(context, name);
      await engine.setCluster(name, 'cordoned');
      return show(name);
    },
  );
  app.post(
    '/api/v1/clusters/:name/uncordon',
    {
      schema: {
        summary: 'Give a cluster leases again, also while it drains',
        params: nameParams,
        response,
      },
    },
    async ({ params: { name } }) => {
      findCluster(context, name);
      await engine.addCluster(name);
      return show(name);
    },
  );
  app.post(
    '/api/v1/clusters/:name/drain',
    {
      schema: {
        summary: 'Empty a cluster: what does not run goes back at once, the rest after a grace',
        params: nameParams,
        body: drainRequestSchema,
        response,
      },
    },
    async ({ params: { name }, body }) => {
      findCluster(context, name);
      await engine.setCluster(name, 'draining', body.graceMs);
      return show(name);
    },
  );
}

function addSettings(app: Api, context: ApiContext): void {
  app.put(
    '/api/v1/clusters/:name/settings',
    {
      schema: {
        summary: 'Set how long a cluster’s agent may be silent, and what bringing data there costs',
        params: nameParams,
        body: clusterSettingsSchema,
        response: { 200: clusterViewSchema },
      },
    },
    async ({ params: { name }, body }) => {
      findCluster(context, name);
      await context.engine.changeCluster(name, body);
      return viewOf(context, findCluster(context, name));
    },
  );
}

function addRemoval(app: Api, context: ApiContext): void {
  app.delete(
    '/api/v1/clusters/:name',
    {
      schema: {
        summary: 'Forget a cluster and take its agent’s tokens back',
        params: nameParams,
        querystring: z.object({
          force: z
            .stringbool()
            .default(false)
            .describe('also while it holds attempts: they are run elsewhere, its pods are left'),
        }),
        response: { 204: z.null() },
      },
    },
    async (request, reply) => {
      const { name } = findCluster(context, request.params.name);
      const heldCount = await context.engine.removeCluster(name, request.query.force);
      if (heldCount > 0) {
        const what = `cluster ${name} holds ${heldCount} attempts: drain it first, or use force`;
        throw new ProblemError(409, 'cluster_in_use', what);
      }
      context.clusters.forget(name);
      await context.access.removeAgent(name);
      return reply.code(204).send(null);
    },
  );
}

function addTokens(app: Api, context: ApiContext): void {
  const { access, clusters } = context;
  app.post(
    '/api/v1/clusters/:name/tokens',
    {
      schema: {
        summary: 'Another token for a cluster’s agent; those before it are taken as well',
        params: nameParams,
        response: { 201: madeTokenSchema },
      },
    },
    async (request, reply) => {
      const { name } = findCluster(context, request.params.name);
      const made = await makeToken(access, { user: name, role: 'agent', project: null });
      return reply.code(201).send(made);
    },
  );
  app.delete(
    '/api/v1/clusters/:name/tokens',
    {
      schema: {
        summary: 'Take the tokens of a cluster’s agent back, but the newest',
        params: nameParams,
        querystring: z.object({
          all: z.stringbool().default(false).describe('the newest too: nobody speaks for it then'),
        }),
        response: { 200: z.object({ revokedCount: z.number().int() }) },
      },
    },
    async (request) => {
      const { name } = findCluster(context, request.params.name);
      const revokedCount = await access.removeAgent(name, !request.query.all);
      // An exchange that is held open would be answered by what it may no longer hear.
      clusters.hangUp(name);
      return { revokedCount };
    },
  );
}

export function addClusterRoutes(app: Api, context: ApiContext): void {
  addReads(app, context);
  addOrders(app, context);
  addTokens(app, context);
  addSettings(app, context);
  addRemoval(app, context);
}
