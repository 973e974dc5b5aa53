import { readdir, readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { FOLDER_VARIABLE } from './task-spec.ts';

/** A program that forks all the time may outrun a few rounds, not all of them. */
const ROUNDS_MAX = 20;
/** A process in the middle of its exec shows no environment: one empty round proves nothing. */
const EMPTY_ROUNDS = 3;
const ROUND_MS = 50;

async function findByFolder(folder: string): Promise<number[]> {
  const needle = `${FOLDER_VARIABLE}=${folder}\0`;
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
 * carries the attempt's folder in its environment.
 */
export async function endLeftovers(folder: string): Promise<void> {
  let emptyRounds = 0;
  for (let round = 0; round < ROUNDS_MAX && emptyRounds < EMPTY_ROUNDS; round += 1) {
    if (round > 0) await setTimeout(ROUND_MS);
    const pids = await findByFolder(folder);
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
