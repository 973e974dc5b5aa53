import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { kill, Product, until } from './product.ts';

/** Numbers from a seed (mulberry32), so that a failure can be tried again with the same kills. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const VICTIMS = ['server', 'agent', 'launcher', 'postgres'] as const;

function findVictim(product: Product, victim: (typeof VICTIMS)[number]): number[] {
  switch (victim) {
    case 'server':
      return product.processes('control-plane');
    case 'agent':
      return product.processes('cluster-agent');
    case 'launcher':
      return product.launchers();
    case 'postgres':
      return product.processes('bin/postgres');
  }
}

export interface ChaosReport {
  readonly seed: number;
  readonly kills: Record<string, number>;
  readonly counts: Record<string, number>;
  /** How often each task's program ran: every number must be 1. */
  readonly runsPerTask: number[];
  readonly seconds: number;
}

interface Job {
  readonly endedAtMs: number | null;
  readonly counts: Record<string, number>;
}

/** Submits tasks that each write one line, and kills parts at random moments until all have ended. */
export async function chaos(seed: number, taskCount: number): Promise<ChaosReport> {
  const random = randomFrom(seed);
  await using product = new Product();
  const begunMs = Date.now();
  const kills: Record<string, number> = {};
  const ran = path.join(product.data, 'ran');
  writeFileSync(ran, '');
  await product.ok('up', '--detach', '--cores', '4');
  const script = `echo {index} >> ${ran}; [ $(({index} % 10)) -ne 7 ]`;
  const id = await product.ok('submit', '--array', `0-${taskCount - 1}`, '--', 'sh', '-c', script);
  let nextKillMs = Date.now();
  const job = await until(
    `seed ${seed}: the end of ${id}`,
    async () => {
      if (Date.now() >= nextKillMs) {
        const victim = VICTIMS[Math.floor(random() * VICTIMS.length)]!;
        kills[victim] = (kills[victim] ?? 0) + findVictim(product, victim).length;
        kill(findVictim(product, victim));
        nextKillMs = Date.now() + 200 + random() * 1800;
      }
      const result = await product.run('job', id, '--json');
      const state = result.code === 0 ? (JSON.parse(result.stdout) as Job) : undefined;
      return state?.endedAtMs ? state : undefined;
    },
    300_000,
  );
  const runsPerTask = Array.from({ length: taskCount }, () => 0);
  for (const line of readFileSync(ran, 'utf8').trim().split('\n')) runsPerTask[Number(line)]! += 1;
  return { seed, kills, counts: job.counts, runsPerTask, seconds: (Date.now() - begunMs) / 1000 };
}
