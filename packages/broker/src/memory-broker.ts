import { checkSync } from './check-sync.ts';
import type { AnswerSync, Exchange } from './ports.ts';

/** Control plane and agents in one process. Messages are copies, as they are elsewhere. */
export class MemoryBroker {
  #answer: AnswerSync | undefined;

  /** From now on this control plane answers, and no other. */
  serve(answer: AnswerSync): Disposable {
    this.#answer = answer;
    return {
      [Symbol.dispose]: () => {
        if (this.#answer === answer) this.#answer = undefined;
      },
    };
  }

  exchangeOf(agentId: string): Exchange {
    return async (sync, signal) => {
      signal.throwIfAborted();
      const answer = this.#answer;
      if (answer === undefined) throw new Error('no control plane serves agents here');
      const givenUp = Promise.withResolvers<never>();
      const giveUp = (): void => givenUp.reject(signal.reason);
      signal.addEventListener('abort', giveUp);
      try {
        const said = checkSync(agentId, structuredClone(sync));
        return structuredClone(await Promise.race([answer(said), givenUp.promise]));
      } finally {
        signal.removeEventListener('abort', giveUp);
      }
    };
  }
}
