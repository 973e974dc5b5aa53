import { readdir, readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { ATTEMPT_VARIABLE } from './task-spec.ts';

/** A program that forks all the time may outrun a few rounds, not all of them. */
const ROUNDS_MAX = 20;
/** A process in the middle of its exec shows no environment: one empty round proves nothing. */
const EMPTY_ROUNDS = 3;
const ROUND_MS = 50;

async function findByAttempt(attemptId: string): Promise<number[]> {
  const needle = `${ATTEMPT_VARIABLE}=${attemptId}\0`;
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
      return `\0${environment}`.includes(`\0${needle}`) ? [Number(pid)] : [];
    }),
  );
  return found.flat();
}

/**
 * Ends what a killed guard left running. Only the guard knew the tree, but each program of it
 * carries the attempt's id in its environment.
 */
export async function endLeftovers(attemptId: string): Promise<void> {
  let emptyRounds = 0;
  for (let round = 0; round < ROUNDS_MAX && emptyRounds < EMPTY_ROUNDS; round += 1) {
    if (round > 0) await setTimeout(ROUND_MS);
    const pids = await findByAttempt(attemptId);
    emptyRounds = pids.length === 0 ? emptyRounds + 1 : 0;
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
  }
}
