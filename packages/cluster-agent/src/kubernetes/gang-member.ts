import type { Lease } from '@majorana/protocol';

/**
 * Each pod of a gang is held like an attempt of its own. The head, whose end is the gang's, has the
 * attempt's id; the others have their rank behind it: `job_42.17.2/1`.
 */
export const memberId = (attemptId: string, nodeRank: number): string =>
  nodeRank === 0 ? attemptId : `${attemptId}/${nodeRank}`;

export const attemptOfMember = (id: string): string => id.split('/', 1)[0]!;
export const nodeRankOf = (id: string): number => Number(id.split('/')[1] ?? 0);

/** Of one attempt: its only pod, or those of its gang by rank. */
export function memberIds({
  attemptId,
  gang,
}: {
  readonly attemptId: string;
  readonly gang?: Lease['gang'] | undefined;
}): string[] {
  return Array.from({ length: gang?.nodes ?? 1 }, (_, nodeRank) => memberId(attemptId, nodeRank));
}
