import { LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN } from '@majorana/protocol';
import { CliError } from '../output.ts';
import { parseDuration } from '../submit/quantities.ts';

/** As the API would refuse it, in the words of the command line. */
export function parseLeaseTtl(text: string): number {
  const leaseTtlMs = parseDuration('--lease-ttl', text);
  if (leaseTtlMs >= LEASE_TTL_MS_MIN && leaseTtlMs <= LEASE_TTL_MS_MAX) return leaseTtlMs;
  throw new CliError(`--lease-ttl ${text}: at least 60s and at most 7d`);
}
