import { createHash } from 'node:crypto';
import rateLimit from '@fastify/rate-limit';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import fastify from 'fastify';
import { ProblemError, sendProblem } from './problem.ts';
import type { ApiContext } from './routes.ts';
import { jobRoutes, objectRoutes, taskRoutes } from './routes.ts';

/** A spec with a million short records is about 60 MB. */
const BODY_BYTES_MAX = 128 * 1024 * 1024;

const hash = (token: string): string => createHash('sha256').update(token).digest('hex');
export const hashToken = hash;

/** What each role may do; a role may do what the ones before it may. */
const ROLES = ['viewer', 'member', 'operator', 'admin'] as const;

function neededRole(method: string, url: string): (typeof ROLES)[number] {
  if (method === 'GET' || method === 'HEAD') return 'viewer';
  return url.startsWith('/api/v1/agents/') ? 'operator' : 'member';
}

function guard(app: FastifyInstance, context: ApiContext): void {
  app.addHook('onRequest', async (request) => {
    if (request.url === '/healthz' || request.url === '/readyz') return;
    const [scheme, token] = (request.headers.authorization ?? '').split(' ');
    if (scheme !== 'Bearer' || token === undefined) {
      throw new ProblemError(
        401,
        'unauthenticated',
        'send "Authorization: Bearer TOKEN"; the first token is in the data folder, file "token"',
      );
    }
    const role = await context.reads.roleOf(hash(token));
    if (role === undefined)
      throw new ProblemError(401, 'unauthenticated', 'this token is not known');
    const needed = neededRole(request.method, request.url);
    if (ROLES.indexOf(role as (typeof ROLES)[number]) < ROLES.indexOf(needed)) {
      throw new ProblemError(
        403,
        'forbidden',
        `this needs the role ${needed}, the token has ${role}`,
      );
    }
  });
}

export async function buildServer(
  context: ApiContext,
  loggerInstance: FastifyBaseLogger,
): Promise<FastifyInstance> {
  const app: FastifyInstance = fastify({
    loggerInstance,
    bodyLimit: BODY_BYTES_MAX,
    disableRequestLogging: true,
  });
  app.setErrorHandler((error: Error, request, reply) => {
    if (!(error instanceof ProblemError))
      request.log.error({ error: error.stack, url: request.url }, error.message);
    return sendProblem(reply, error);
  });
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      new ProblemError(404, 'not_found', `there is no ${request.method} ${request.url}`),
    ),
  );
  // 2,000 a second and address: a notebook in a tight loop is slowed, an agent is not.
  await app.register(rateLimit, { max: 2000, timeWindow: 1000 });
  guard(app, context);
  app.get('/healthz', () => ({ status: 'ok' }));
  app.get('/readyz', (_request, reply) =>
    reply.code(context.engine.isReady ? 200 : 503).send({ ready: context.engine.isReady }),
  );
  jobRoutes(app, context);
  taskRoutes(app, context);
  objectRoutes(app, context);
  return app;
}
