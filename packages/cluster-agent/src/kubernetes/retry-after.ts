import type { IncomingHttpHeaders } from 'node:http';

/** A server that asks for more is asked again all the same: a date far off would stop a cluster. */
const RETRY_AFTER_MS_MAX = 5 * 60_000;

type Headers = Pick<IncomingHttpHeaders, 'retry-after' | 'date'>;

/** A date is counted from the server's own, since clocks differ. */
function askedMs({ 'retry-after': text = '', date = '' }: Headers, nowMs: number): number {
  if (/^\d+$/.test(text.trim())) return Number(text) * 1000;
  return Date.parse(text) - (Date.parse(date) || nowMs);
}

/** What a refusal asks for, in seconds or, as gateways do, as a date; 0: nothing. */
export const retryAfterOf = (headers: Headers, nowMs: number): number =>
  Math.min(RETRY_AFTER_MS_MAX, Math.max(0, askedMs(headers, nowMs) || 0));
