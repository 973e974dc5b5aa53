import type { Lease } from '@majorana/protocol';
import type { Random } from './random.ts';
import { breaks } from './workflows/programs.ts';

const MEBIBYTE = 2 ** 20;

/** What a program would do if nobody interfered. */
export interface ProgramPlan {
  readonly durationMs: number;
  readonly end:
    | { readonly kind: 'exit'; readonly exitCode: number }
    | { readonly kind: 'signal'; readonly signal: number };
  /** More than its lease has: it is killed before it gets far. */
  readonly memoryBytes: number;
  /** Ends only by KILL, after the grace. */
  readonly ignoresTerm: boolean;
  /** An input that is nowhere: the host refuses the lease. */
  readonly isRefused: boolean;
}

export interface ProgramShape {
  readonly durationMsMin: number;
  readonly durationMsMax: number;
  /** How many tasks of a hundred fail often, and how many always. */
  readonly flakyPercent: number;
  readonly brokenPercent: number;
  /** All succeed, if they are let, but those that say themselves that they do not. */
  readonly isSound?: boolean;
}

const EXIT_CODES = [1, 2, 75, 137] as const;
const SIGNALS = [6, 9, 11] as const;

/**
 * A task has a character (sound, flaky, broken, hungry) and each of its attempts a fate; both
 * depend on the seed and the id alone, so that no fault elsewhere changes what a program does.
 */
export function planProgram(
  random: Random,
  lease: Lease,
  attemptNumber: number,
  shape: ProgramShape,
): ProgramPlan {
  const taskId = lease.attemptId.slice(0, lease.attemptId.lastIndexOf('.'));
  const task = random.stream(`task/${taskId}`);
  const attempt = random.stream(`attempt/${lease.attemptId}`);
  if (shape.isSound === true) {
    return {
      durationMs: attempt.spread(shape.durationMsMin, shape.durationMsMax),
      end: { kind: 'exit', exitCode: breaks(lease.argv) ? 3 : 0 },
      memoryBytes: MEBIBYTE,
      ignoresTerm: false,
      isRefused: false,
    };
  }
  const character = task.next() * 100;
  const isBroken = character < shape.brokenPercent;
  const isFlaky = character < shape.brokenPercent + shape.flakyPercent;
  const failsOften = isBroken ? 1 : isFlaky ? 0.6 : 0.02;
  const isHungry = task.chance(0.06);
  const requested = task.chance(0.5) ? 256 * MEBIBYTE : lease.resources.memoryBytes;
  const memoryBytes = isHungry
    ? Math.floor(requested * task.between(1.5, 6))
    : Math.floor(Math.min(requested, lease.resources.memoryBytes) * task.between(0.1, 0.9));
  const isFailing = attempt.chance(failsOften);
  const isSignal = attempt.chance(0.2);
  return {
    durationMs: attempt.spread(shape.durationMsMin, shape.durationMsMax),
    end:
      isFailing && isSignal
        ? { kind: 'signal', signal: attempt.pick(SIGNALS) }
        : { kind: 'exit', exitCode: isFailing ? attempt.pick(EXIT_CODES) : 0 },
    memoryBytes,
    ignoresTerm: attempt.chance(0.1),
    isRefused: task.chance(0.01) && attemptNumber > 0,
  };
}
