import type { AttemptOutcome } from '@majorana/core';
import type { AttemptEvent, EndedEvent, Lease } from '@majorana/protocol';
import { bareEnd } from './bare-end.ts';
import type { AgentClock, AttemptHost, AttemptStanding } from './ports.ts';
import { keptEvent } from './kept-event.ts';
import { HeldBackError, LeaseRefusedError } from './ports.ts';
import type { Occupant, RoomPort } from './room.ts';
import type { Slots } from './slots.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** A host call that was refused is repeated after this, doubled each time up to the second. */
const RETRY_MS = 1 * SECOND;
const RETRY_MS_MAX = 30 * SECOND;
/** How long a full disk or an unreachable store may keep an attempt from starting. */
const START_PATIENCE_MS = 10 * MINUTE;
/** How long one is held back before its lease goes back, as one that finds no room. */
const HELD_BACK_PATIENCE_MS = 30 * SECOND;
/** How long results wait for a store that refuses them; they are tried throughout. */
const STORE_PATIENCE_MS = 10 * MINUTE;

type Running = Extract<AttemptStanding, { kind: 'running' }>;
type Accepted = Extract<AttemptStanding, { kind: 'accepted' }>;

export interface AttemptContext {
  readonly host: AttemptHost;
  readonly clock: AgentClock;
  readonly log: (message: string, details: object) => void;
  readonly staging: Slots;
  readonly collecting: Slots;
  readonly room: RoomPort;
  readonly isStopped: () => boolean;
  readonly onNews: (attempt: HeldAttempt) => void;
  readonly onForgotten: (attemptId: string) => void;
}

/**
 * Drives one attempt. Nothing is remembered but orders: each round asks the host where the attempt
 * stands and takes the one step that follows, so a restarted agent goes on by the same path.
 *
 *   absent -accept-> accepted -start-> running -> exited -collect-> collected -forget->
 *                        |               `-> gone -conclude-----------^
 *                        `-conclude (cancelled before its start)------^
 *
 * One that may have begun is ended with its grace, though it does not look as if it ran yet.
 *
 * Rounds of one attempt never overlap. A refused step ends the round; a later one repeats it.
 */
export class HeldAttempt implements Occupant {
  readonly attemptId: string;
  readonly #lease: Lease;
  readonly #context: AttemptContext;
  #latest: AttemptEvent | undefined;
  #isTold = false;
  #isEnding = false;
  #isForgetting = false;
  #isStarted = false;
  /** Why its lease goes back; empty: it does not. */
  #noRoom = '';
  #isBusy = false;
  #isAwakened = false;
  #refusedCount = 0;
  #refusedSinceMs = 0;
  #retryAtMs = 0;
  /** Of a lease that has just come in no host needs to be asked. */
  #isFresh: boolean;
  /** Settles when the round under way has ended; never rejects. */
  round: Promise<void> = Promise.resolve();

  constructor(lease: Lease, isFresh: boolean, context: AttemptContext) {
    this.attemptId = lease.attemptId;
    this.#lease = lease;
    this.#isFresh = isFresh;
    this.#context = context;
    if (isFresh) {
      context.room.expect?.(this);
      this.#report({ kind: 'starting', attemptId: this.attemptId, atMs: context.clock.nowMs() });
    }
  }

  get resources(): Lease['resources'] {
    return this.#lease.resources;
  }

  /** What the server has not been told: only the latest, since each event implies those before. */
  news(): AttemptEvent | undefined {
    return this.#isTold ? undefined : this.#latest;
  }

  told(event: AttemptEvent): void {
    if (event === this.#latest) this.#isTold = true;
  }

  /** At the start of an agent: what may be running takes its room. */
  async recall(): Promise<AttemptStanding['kind'] | 'unknown'> {
    const { host, room } = this.#context;
    const kind = await host.inspect(this.attemptId).then(
      (standing) => standing.kind,
      () => 'unknown' as const,
    );
    if (kind === 'running') room.occupy(this);
    if (kind === 'unknown') room.presume(this);
    return kind;
  }

  giveBack(reason: string): void {
    this.#noRoom = reason;
    this.wake();
  }

  /** False when this was known. */
  end(): boolean {
    if (this.#isEnding || this.#latest?.kind === 'ended') return false;
    this.#isEnding = true;
    this.#retryAtMs = 0;
    this.wake();
    return true;
  }

  /** An attempt that has not ended is ended first: its folder cannot go from under a program. */
  forget(): void {
    this.#isForgetting = true;
    this.#isEnding = true;
    this.#retryAtMs = 0;
    this.wake();
  }

  /** Its standing may have changed. */
  wake(): void {
    if (this.#context.isStopped()) return;
    if (this.#latest?.kind === 'ended' && !this.#isForgetting) return;
    if (this.#isBusy) {
      this.#isAwakened = true;
      return;
    }
    const lateMs = this.#context.clock.nowMs() - this.#retryAtMs;
    if (lateMs < 0) return;
    // Its agent might not act for a while: nobody has tried, so patience is not lost.
    if (lateMs > RETRY_MS_MAX) this.#refusedCount = 0;
    this.#isBusy = true;
    this.round = this.#run();
  }

  async #run(): Promise<void> {
    try {
      do {
        this.#isAwakened = false;
        await this.#advance();
      } while (this.#isAwakened && !this.#context.isStopped());
      this.#refusedCount = 0;
    } catch (error) {
      this.#refuse(error);
    }
    this.#isBusy = false;
  }

  #refuse(error: unknown): void {
    const nowMs = this.#context.clock.nowMs();
    if (this.#refusedCount === 0) this.#refusedSinceMs = nowMs;
    const retryMs = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** this.#refusedCount);
    this.#retryAtMs = nowMs + retryMs;
    this.#refusedCount += 1;
    const { attemptId } = this;
    this.#context.clock.after(retryMs, () => this.wake());
    this.#context.log('the host refused; it is tried again', { attemptId, error: String(error) });
  }

  /** Since the first of an unbroken row of refusals; this one may be the first. */
  #hasLostPatience(patienceMs: number): boolean {
    const nowMs = this.#context.clock.nowMs();
    return this.#refusedCount > 0 && nowMs - this.#refusedSinceMs >= patienceMs;
  }

  async #advance(): Promise<void> {
    let standing: AttemptStanding | undefined = await this.#standing();
    while (standing !== undefined && !this.#context.isStopped()) {
      standing = await this.#step(standing);
      if (standing !== undefined) this.#refusedCount = 0;
    }
  }

  async #standing(): Promise<AttemptStanding> {
    if (this.#latest?.kind === 'ended') return { kind: 'collected', event: this.#latest };
    return this.#isFresh ? { kind: 'absent' } : this.#context.host.inspect(this.attemptId);
  }

  /** One step; answers where the attempt stands then, or nothing when there is nothing to do. */
  #step(standing: AttemptStanding): Promise<AttemptStanding | undefined> {
    if (['exited', 'gone', 'collected'].includes(standing.kind)) this.#context.room.leave(this);
    switch (standing.kind) {
      case 'absent':
        return this.#isStarted
          ? this.#conclude({ kind: 'lost', reason: 'its folder is gone' })
          : this.#accept();
      case 'accepted':
        return this.#start(standing);
      case 'running':
        return this.#guard(standing);
      case 'exited':
        return this.#collect(standing.event);
      case 'gone':
        return this.#conclude({ ...standing, kind: 'lost' });
      case 'collected':
        return this.#finish(standing.event);
    }
  }

  async #accept(): Promise<AttemptStanding> {
    const { host, staging } = this.#context;
    if (this.#isEnding) return this.#concludeCancelled();
    try {
      await staging.run(() => host.accept(this.#lease));
    } catch (error) {
      if (!(error instanceof LeaseRefusedError) && !this.#hasLostPatience(START_PATIENCE_MS)) {
        throw error;
      }
      const reason = `could not start: ${(error as Error).message}`;
      return this.#conclude({ kind: 'start_error', reason });
    }
    this.#isFresh = false;
    return { kind: 'accepted' };
  }

  async #start({ mayBegin, isBroken }: Accepted): Promise<AttemptStanding | undefined> {
    const { host } = this.#context;
    if (isBroken === true || (this.#isEnding && mayBegin === true)) return this.#end();
    if (this.#isEnding) return this.#concludeCancelled();
    if (this.#noRoom !== '') return this.#conclude({ kind: 'lost', reason: this.#noRoom });
    if (!this.#context.room.enter(this)) return undefined;
    try {
      await host.start(this.attemptId);
    } catch (error) {
      if (!(error instanceof HeldBackError) || !this.#hasLostPatience(HELD_BACK_PATIENCE_MS))
        throw error;
      return this.#conclude({ kind: 'lost', reason: `could not start here: ${error.message}` });
    }
    this.#isStarted = true;
    const standing = await host.inspect(this.attemptId);
    // Handed over and not begun yet: the host's notice or the next sweep finds it.
    return standing.kind === 'accepted' ? undefined : standing;
  }

  async #guard({ startedAtMs, isBroken }: Running): Promise<undefined> {
    this.#isStarted = true;
    this.#context.room.occupy(this);
    if (this.#latest?.kind !== 'running') {
      this.#report({ kind: 'running', attemptId: this.attemptId, atMs: startedAtMs });
    }
    if (this.#isEnding || isBroken === true) return this.#end();
  }

  /** The host's notice or the next sweep finds how it ended. */
  async #end(): Promise<undefined> {
    await this.#context.host.end(this.attemptId);
  }

  async #collect(end: EndedEvent | undefined): Promise<AttemptStanding> {
    const { host, collecting } = this.#context;
    const { collectPatienceMs = STORE_PATIENCE_MS } = host;
    try {
      const event = await collecting.run(() => host.collect(this.attemptId));
      return { kind: 'collected', event };
    } catch (error) {
      if (!this.#hasLostPatience(collectPatienceMs)) throw error;
      return this.#concludeUnstored(end, error as Error);
    }
  }

  /** Its results are nowhere, so it is no success; how the program ended is kept beside that. */
  #concludeUnstored(end: EndedEvent | undefined, error: Error): Promise<AttemptStanding> {
    const unstored = `its results could not be stored: ${error.message}`;
    if (end === undefined) return this.#conclude({ kind: 'exit_code', reason: unstored });
    const { outcome } = end;
    const kind = outcome.kind === 'succeeded' ? 'exit_code' : outcome.kind;
    return this.#conclude({ ...outcome, kind, reason: `${outcome.reason}; ${unstored}` }, end);
  }

  #concludeCancelled(): Promise<AttemptStanding> {
    return this.#conclude({ kind: 'cancelled', reason: 'cancelled before it started' });
  }

  async #conclude(outcome: AttemptOutcome, end?: EndedEvent): Promise<AttemptStanding> {
    const event: EndedEvent =
      end === undefined
        ? bareEnd(this.attemptId, outcome, this.#context.clock.nowMs())
        : { ...end, outcome };
    await this.#context.host.conclude(event);
    this.#isFresh = false;
    return { kind: 'collected', event };
  }

  async #finish(event: EndedEvent): Promise<undefined> {
    if (this.#latest?.kind !== 'ended') this.#report(keptEvent(event));
    if (!this.#isForgetting) return;
    await this.#context.host.forget(this.attemptId);
    this.#context.onForgotten(this.attemptId);
  }

  #report(event: AttemptEvent): void {
    this.#latest = event;
    this.#isTold = false;
    this.#context.onNews(this);
  }
}
