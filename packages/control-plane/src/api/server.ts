import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import type { FastifyBaseLogger } from 'fastify';
import fastify, { LogController } from 'fastify';
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
} from 'fastify-type-provider-zod';
import type { Metrics } from '../metrics.ts';
import { guard } from './auth.ts';
import { checkJsonText, passStreams } from './body.ts';
import type { Api, ApiContext } from './context.ts';
import { openapi } from './openapi.ts';
import { ProblemError, sendProblem, sendRawProblem } from './problem.ts';
import { addDatasetRoutes } from './routes/datasets.ts';
import { addExecutionRoutes } from './routes/executions.ts';
import { addClusterRoutes } from './routes/clusters.ts';
import { addJobRoutes } from './routes/jobs.ts';
import { addLineageRoutes } from './routes/lineage.ts';
import { addObjectRoutes } from './routes/objects.ts';
import { addOperationRoutes } from './routes/operations.ts';
import { addRunnerRoutes } from './routes/runners.ts';
import { addStreamRoutes } from './routes/streams.ts';
import { addTaskRoutes } from './routes/tasks.ts';
import { addWorkflowRoutes } from './routes/workflows.ts';
import { tokenRefusal } from './token-refusal.ts';

/** A spec with 10,000 inline records of a kilobyte, or an agent's news of 10,000 ends. */
const BODY_BYTES_MAX = 32 * 1024 * 1024;
/** A second and address: a notebook in a tight loop is slowed, an agent is not. */
const REQUESTS_PER_SECOND = 2000;

function addHealth(app: Api, context: ApiContext, metrics: Metrics): void {
  app.get('/healthz', { schema: { hide: true } }, () => ({ status: 'ok' }));
  app.get('/readyz', { schema: { hide: true } }, (_request, reply) =>
    reply.code(context.isReady() ? 200 : 503).send({ ready: context.isReady() }),
  );
  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
  app.get('/api/v1/openapi.json', { schema: { hide: true } }, () => openapi(app));
}

function observe(app: Api, metrics: Metrics): void {
  app.addHook('onResponse', async (request, reply) => {
    const { method } = request;
    const route = request.routeOptions.url ?? 'none';
    if (/\/(sync|events|logs|link)$/.test(route)) return;
    const status = `${Math.floor(reply.statusCode / 100)}xx`;
    metrics.requestSeconds.observe({ method, route, status }, reply.elapsedTime / 1000);
    if (method === 'GET') return;
    const ms = Math.round(reply.elapsedTime);
    request.log.info({ method, route, status: reply.statusCode, ms }, 'request');
  });
}

export async function buildServer(
  context: ApiContext,
  metrics: Metrics,
  loggerInstance: FastifyBaseLogger,
): Promise<Api> {
  const app: Api = fastify({
    loggerInstance,
    bodyLimit: BODY_BYTES_MAX,
    logController: new LogController({ disableRequestLogging: true }),
    // Ids are short; a longer one reaches its schema and is refused there.
    routerOptions: { maxParamLength: 4096 },
    clientErrorHandler: sendRawProblem,
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, error),
    // Followers of logs and events would hold a stopping server for ever.
    forceCloseConnections: true,
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler((error: Error, _request, reply) => sendProblem(reply, error));
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      new ProblemError(404, 'not_found', `there is no ${request.method} ${request.url}`),
    ),
  );
  await app.register(rateLimit, { max: REQUESTS_PER_SECOND, timeWindow: 1000 });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Majorana', version: '0.1.0', license: { name: 'Apache-2.0' } },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    transform: jsonSchemaTransform,
  });
  passStreams(app);
  checkJsonText(app);
  guard(app, context, metrics);
  observe(app, metrics);
  addHealth(app, context, metrics);
  addJobRoutes(app, context);
  addTaskRoutes(app, context);
  addStreamRoutes(app, context);
  addObjectRoutes(app, context);
  addOperationRoutes(app, context);
  addClusterRoutes(app, context);
  addRunnerRoutes(app, context, tokenRefusal(app, metrics));
  addWorkflowRoutes(app, context);
  addDatasetRoutes(app, context);
  addLineageRoutes(app, context);
  addExecutionRoutes(app, context);
  return app;
}
