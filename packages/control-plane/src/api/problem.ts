import type { FastifyReply } from 'fastify';
import type { z } from 'zod';

/** An error for the caller (RFC 9457): what is wrong, where, what to do. */
export class ProblemError extends Error {
  override name = 'ProblemError';
  readonly status: number;
  readonly code: string;
  readonly issues: readonly { readonly where: string; readonly what: string }[];

  constructor(
    status: number,
    code: string,
    detail: string,
    issues: readonly { readonly where: string; readonly what: string }[] = [],
  ) {
    super(detail);
    this.status = status;
    this.code = code;
    this.issues = issues;
  }
}

export function parseInput<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => ({
    where: issue.path.join('.') || '(whole)',
    what: issue.message,
  }));
  const detail = issues.map(({ where, what }) => `${where}: ${what}`).join('; ');
  throw new ProblemError(422, 'invalid_input', detail, issues);
}

export function sendProblem(reply: FastifyReply, error: Error): FastifyReply {
  const { status, code, issues } =
    error instanceof ProblemError ? error : { ...describe(error), issues: [] };
  const detail = status === 500 ? 'an internal error; the server log has it' : error.message;
  return reply
    .code(status)
    .type('application/problem+json')
    .send({ type: `urn:majorana:${code}`, title: code, status, detail, issues });
}

function describe(error: Error & { statusCode?: number; code?: string }): {
  status: number;
  code: string;
} {
  if (error.name === 'NotFoundError') return { status: 404, code: 'not_found' };
  if (error.name === 'ObjectMissingError') return { status: 404, code: 'object_missing' };
  if (error.name === 'UnavailableError') return { status: 503, code: 'unavailable' };
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return { status: error.statusCode, code: 'bad_request' };
  }
  return { status: 500, code: 'internal' };
}
