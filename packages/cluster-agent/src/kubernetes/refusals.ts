import { ApiServerError } from './api-server.ts';

export const isStatus = (error: unknown, ...statuses: number[]): boolean =>
  error instanceof ApiServerError && statuses.includes(error.status);

/** A webhook's or a policy's no, for which whoever wrote it chose the status, 400 and 422 among them. */
const RULE = /denied (the )?request/;

/** Of the pod itself, or of the namespace's pod security level, which lets no such pod be. */
export const isForGood = (error: unknown): boolean =>
  (isStatus(error, 400, 422) && !RULE.test((error as Error).message)) ||
  (isStatus(error, 403) && (error as Error).message.includes('violates PodSecurity'));

/** A quota, a limit, a policy, a role or a token that was taken away, a namespace that is gone. */
export const isHeldBack = (error: unknown): boolean =>
  isStatus(error, 401, 403, 404) ||
  (error instanceof ApiServerError && error.status < 500 && RULE.test(error.message));
