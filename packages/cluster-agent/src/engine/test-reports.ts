import { IdDigest } from '@majorana/core';
import type { AgentSync } from '@majorana/protocol';

/** What a server learns of what an agent holds, for servers of tests. */
export class Reports {
  #ids = new Set<string>();

  /** All that the agent holds when it sends this; throws when its digest says otherwise. */
  take(sync: AgentSync): Set<string> {
    if (sync.heldAttemptIds !== undefined) this.#ids = new Set(sync.heldAttemptIds);
    for (const attemptId of sync.held?.addedAttemptIds ?? []) this.#ids.add(attemptId);
    const all = new Set(this.#ids);
    for (const event of sync.events) if (event.kind === 'ended') this.#ids.delete(event.attemptId);
    const digest = IdDigest.of(this.#ids).toString();
    if (sync.held !== undefined && sync.held.digest !== digest)
      throw new Error(`the agent has the digest ${sync.held.digest}, its messages ${digest}`);
    return all;
  }
}
