import type { FastifyRequest } from 'fastify';
import type { Metrics } from '../metrics.ts';
import type { Api } from './context.ts';
import { ProblemError } from './problem.ts';

/** A second and address. Nobody guesses 192 bits; this slows a program in a pod that tries. */
const REFUSALS_PER_SECOND = 20;

/** Answers a runner's token that is not taken. Others of its address, behind one NAT say, are not held up. */
export type RefuseToken = (request: FastifyRequest, what: string) => Promise<never>;

export function tokenRefusal(app: Api, { refusedTokens }: Metrics): RefuseToken {
  const count = app.createRateLimit({ max: REFUSALS_PER_SECOND, timeWindow: 1000 });
  return async (request, what) => {
    refusedTokens.inc();
    const limit = await count(request);
    if (limit.isAllowed || !limit.isExceeded) throw new ProblemError(401, 'unauthenticated', what);
    const detail = `${what}; more than ${REFUSALS_PER_SECOND} such requests a second come from your address`;
    throw new ProblemError(429, 'too_many_requests', detail);
  };
}
