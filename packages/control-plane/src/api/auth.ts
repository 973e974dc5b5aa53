import { createHash } from 'node:crypto';
import type { Role } from '@majorana/protocol';
import { ROLES } from '@majorana/protocol';
import type { Access } from '@majorana/store';
import type { FastifyRequest } from 'fastify';
import type { Metrics } from '../metrics.ts';
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

const SYNC = 'POST /api/v1/agents/sync';
/** All that an agent's own token is for: its news, and the list of results a runner stored for it. */
const AGENT_ROUTES = new Set([SYNC, 'GET /api/v1/objects/:object']);

/** A role may do what the ones before it may. */
function neededRole(method: string, path: string): Role {
  if (path.startsWith('/api/v1/tokens')) return 'admin';
  if (method === 'POST' && path === '/api/v1/clusters/:name/tokens') return 'admin';
  if (method === 'GET' || method === 'HEAD') return 'viewer';
  return /^\/api\/v1\/(queues|clusters)/.test(path) ? 'operator' : 'member';
}

/** Nobody else speaks for an agent: what it says ends attempts, and what it hears runs programs. */
function refuseSync({ user, role }: Access): never {
  const what = `an agent needs a token of its own, and this one is ${user}’s, of role ${role}: "majorana clusters add NAME" makes one, for an agent of no cluster "majorana tokens create NAME --role agent"`;
  throw new ProblemError(403, 'agent_token_needed', what);
}

function refuse(access: Access, method: string, path: string): void {
  const { role, project } = access;
  const route = `${method} ${path}`;
  if (role === 'agent') {
    if (AGENT_ROUTES.has(route)) return;
    throw new ProblemError(403, 'forbidden', 'the token is an agent’s, which only exchanges');
  }
  if (route === SYNC) refuseSync(access);
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
export function guard(app: Api, context: ApiContext, { refusedTokens }: Metrics): void {
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
      refusedTokens.inc();
      throw new ProblemError(401, 'unauthenticated', 'this token is not known, or was taken back');
    }
    refuse(access, request.method, path);
    request.access = access;
  });
}
