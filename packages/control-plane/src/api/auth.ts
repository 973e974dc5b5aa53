import { createHash } from 'node:crypto';
import type { Role } from '@majorana/protocol';
import { ROLES } from '@majorana/protocol';
import type { Access } from '@majorana/store';
import type { FastifyRequest } from 'fastify';
import type { Api, ApiContext } from './context.ts';
import { ProblemError } from './problem.ts';

export const hashToken = (token: string): string =>
  createHash('sha256').update(token).digest('hex');

/** Neither tells anything of anybody's work. */
const OPEN = new Set(['/healthz', '/readyz']);

/** Runners have tokens of their own, checked by their routes. */
export const RUNNER_PREFIX = '/api/v1/runner/';

/** What came as `Authorization: Bearer TOKEN`. */
export function bearerToken(request: FastifyRequest): string | undefined {
  const [scheme, token] = (request.headers.authorization ?? '').split(' ');
  return scheme === 'Bearer' ? token : undefined;
}

/** All that an agent's own token is for: its news, and what a runner stored for it to read. */
const AGENT_ROUTES = new Set(['POST /api/v1/agents/sync', 'GET /api/v1/objects/:object']);

/** A role may do what the ones before it may. */
function neededRole(method: string, path: string): Role {
  if (path.startsWith('/api/v1/tokens')) return 'admin';
  if (path.startsWith('/api/v1/agents/')) return 'operator';
  if (method === 'GET' || method === 'HEAD') return 'viewer';
  return /^\/api\/v1\/(queues|clusters)/.test(path) ? 'operator' : 'member';
}

function refuse({ role, project }: Access, method: string, path: string): void {
  if (role === 'agent') {
    if (AGENT_ROUTES.has(`${method} ${path}`)) return;
    throw new ProblemError(403, 'forbidden', 'the token is an agent’s, which only exchanges');
  }
  const needed = neededRole(method, path);
  if (ROLES.indexOf(role) < ROLES.indexOf(needed)) {
    const what = `this needs the role ${needed}, the token has ${role}`;
    throw new ProblemError(403, 'forbidden', what);
  }
  if (project !== null && (needed === 'operator' || needed === 'admin')) {
    const what = `this concerns all projects, and the token is for ${project} only`;
    throw new ProblemError(403, 'forbidden', what);
  }
}

/** Every request but the health checks needs a token that may do what it asks. */
export function guard(app: Api, context: ApiContext): void {
  app.decorateRequest('access', null as unknown as Access);
  app.addHook('onRequest', async (request) => {
    const path = request.routeOptions.url ?? request.url;
    if (OPEN.has(path) || path.startsWith(RUNNER_PREFIX)) return;
    const token = bearerToken(request);
    if (token === undefined) {
      const what =
        'send "Authorization: Bearer TOKEN"; the first token is in the data folder, file "token"';
      throw new ProblemError(401, 'unauthenticated', what);
    }
    const access = await context.access.find(hashToken(token));
    if (access === undefined) {
      throw new ProblemError(401, 'unauthenticated', 'this token is not known');
    }
    refuse(access, request.method, path);
    request.access = access;
  });
}
