import type { FastifyRequest } from 'fastify';
import type { ApiContext } from './context.ts';
import { ProblemError } from './problem.ts';

/** The project that is meant, which the token may use and which is there. */
export async function projectOf(
  context: ApiContext,
  request: FastifyRequest,
  named: string | undefined,
): Promise<string> {
  const own = request.access.project;
  if (own !== null && named !== undefined && named !== own) {
    throw new ProblemError(403, 'forbidden', `this token is for the project ${own}`);
  }
  const project = named ?? own ?? 'default';
  if (await context.access.hasProject(project)) return project;
  throw new ProblemError(422, 'no_such_project', `there is no project ${project}`);
}
