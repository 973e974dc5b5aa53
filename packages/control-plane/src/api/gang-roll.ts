import type { RunnerGangAnswer, RunnerGangNews } from '@majorana/protocol';
import type { EngineClock } from '../engine/engine.ts';
import { HeldAnswers } from './held-answers.ts';

interface Roll {
  /** Where each worker listens, by its rank; the head's place stays empty. */
  readonly addresses: string[];
  openCount: number;
}

const isComplete = ({ addresses }: Roll, nodes: number): boolean => {
  for (let rank = 1; rank < nodes; rank += 1) if (addresses[rank] === undefined) return false;
  return true;
};

/**
 * Where the workers of gangs listen, for their heads. Each says it over and over: what is known of a
 * gang goes with the last open request of its runners, and a new control plane hears it again.
 */
export class GangRoll {
  readonly #held: HeldAnswers;
  readonly #rolls = new Map<string, Roll>();

  constructor(clock: EngineClock) {
    this.#held = new HeldAnswers(clock);
  }

  async meet(attemptId: string, nodes: number, news: RunnerGangNews): Promise<RunnerGangAnswer> {
    const roll = this.#rolls.get(attemptId) ?? { addresses: [''], openCount: 0 };
    this.#rolls.set(attemptId, roll);
    roll.openCount += 1;
    if (news.address !== undefined) roll.addresses[news.nodeRank] = news.address;
    const isHead = news.nodeRank === 0;
    if (isComplete(roll, nodes)) this.#held.wake(attemptId);
    if (!isHead) await this.#held.wait(`${attemptId} ${news.nodeRank}`, news.waitMs);
    else if (!isComplete(roll, nodes)) await this.#held.wait(attemptId, news.waitMs);
    roll.openCount -= 1;
    if (roll.openCount === 0) this.#rolls.delete(attemptId);
    return isHead && isComplete(roll, nodes) ? { addresses: [...roll.addresses] } : {};
  }

  stop(): void {
    this.#held.stop();
  }
}
