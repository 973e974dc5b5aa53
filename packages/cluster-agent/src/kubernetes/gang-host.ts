import type { AttemptOutcome } from '@majorana/core';
import type { EndedEvent, Lease, LogRequest } from '@majorana/protocol';
import { bareEnd } from '../engine/bare-end.ts';
import type { AgentClock, AttemptHost, AttemptStanding } from '../engine/ports.ts';
import { attemptOfMember, memberId, memberIds } from './gang-member.ts';
import type { Fallen, GangState, HeadEnd } from './gang-standing.ts';
import {
  CAUSE_WAIT_MS,
  findFallen,
  NO_POD,
  outcomeOfGang,
  standingOfGang,
  waitsForCause,
} from './gang-standing.ts';

interface Gang extends GangState {
  readonly lease: Lease;
  isOrdered: boolean;
  fallen?: Fallen;
  head?: HeadEnd;
  outcome?: EndedEvent;
}

const newGang = (lease: Lease, isFound: boolean): Gang => ({
  lease,
  nodes: lease.gang!.nodes,
  isFound,
  isOrdered: false,
});

/**
 * Runs the tasks of several pods over a host that runs each pod by itself; a task of one pod goes
 * straight to it. The head's end is the gang's; a node that ends before it ends the gang with its
 * own reason.
 */
export class GangHost implements AttemptHost {
  readonly #pods: AttemptHost;
  readonly #clock: AgentClock;
  readonly #gangs = new Map<string, Gang>();
  #onChange: (attemptId: string) => void = () => undefined;

  constructor(pods: AttemptHost, clock: AgentClock) {
    this.#pods = pods;
    this.#clock = clock;
  }

  get collectPatienceMs(): number | undefined {
    return this.#pods.collectPatienceMs;
  }

  async list(): Promise<{ readonly attemptId: string; readonly lease: Lease }[]> {
    const byAttempt = new Map<string, Lease>();
    for (const { attemptId: id, lease } of await this.#pods.list()) {
      const attemptId = attemptOfMember(id);
      if (!byAttempt.has(attemptId)) byAttempt.set(attemptId, { ...lease, attemptId });
    }
    for (const [attemptId, lease] of byAttempt)
      if (lease.gang !== undefined) this.#gangs.set(attemptId, newGang(lease, true));
    return [...byAttempt].map(([attemptId, lease]) => ({ attemptId, lease }));
  }

  async inspect(attemptId: string): Promise<AttemptStanding> {
    const gang = this.#gangs.get(attemptId);
    if (gang === undefined) return this.#pods.inspect(attemptId);
    if (gang.outcome !== undefined) return { kind: 'collected', event: gang.outcome };
    const ids = memberIds(gang.lease);
    const standings = await Promise.all(ids.map((id) => this.#pods.inspect(id)));
    await this.#readFallen(gang, standings.slice(1));
    await this.#readHead(gang, standings[0]!);
    const nowMs = this.#clock.nowMs();
    // Each look sets the next one: a timer may go off a millisecond early, and nothing else might come.
    if (waitsForCause(gang, nowMs))
      this.#clock.after(CAUSE_WAIT_MS + gang.head!.seenAtMs - nowMs, () =>
        this.#onChange(attemptId),
      );
    return standingOfGang(gang, standings, nowMs);
  }

  async #readFallen(gang: Gang, workers: readonly AttemptStanding[]): Promise<void> {
    const found = findFallen(gang, workers);
    if (found === undefined) return;
    const { nodeRank, standing } = found;
    const id = memberId(gang.lease.attemptId, nodeRank);
    gang.fallen = { nodeRank, event: await this.#endOfWorker(id, standing) };
  }

  async #endOfWorker(id: string, standing: AttemptStanding): Promise<EndedEvent> {
    if (standing.kind === 'absent') return this.#eventOf({ kind: 'lost', reason: NO_POD }, id);
    if (standing.kind !== 'gone') return this.#pods.collect(id);
    const event = this.#eventOf({ ...standing, kind: 'lost' }, id);
    await this.#pods.conclude(event);
    return event;
  }

  #eventOf(outcome: AttemptOutcome, attemptId: string): EndedEvent {
    return bareEnd(attemptId, outcome, this.#clock.nowMs());
  }

  /** Results that cannot be read now are the business of `collect`, which is tried again. */
  async #readHead(gang: Gang, { kind }: AttemptStanding): Promise<void> {
    if (gang.head !== undefined || (kind !== 'exited' && kind !== 'collected')) return;
    const event = await this.#pods.collect(gang.lease.attemptId).catch(() => undefined);
    if (event !== undefined) gang.head = { event, seenAtMs: this.#clock.nowMs() };
  }

  async accept(lease: Lease): Promise<void> {
    const { attemptId, gang } = lease;
    if (gang === undefined) return this.#pods.accept(lease);
    for (const id of memberIds(lease)) await this.#pods.accept({ ...lease, attemptId: id });
    this.#gangs.set(attemptId, newGang(lease, false));
  }

  async start(attemptId: string): Promise<void> {
    const gang = this.#gangs.get(attemptId);
    if (gang === undefined) return this.#pods.start(attemptId);
    const ids = memberIds(gang.lease);
    const starts = await Promise.allSettled(ids.map((id) => this.#pods.start(id)));
    const refused = starts.find(({ status }) => status === 'rejected');
    if (refused?.status === 'rejected') throw refused.reason;
  }

  /** The head's program ends the ranks on the others; their pods go with the gang. */
  async end(attemptId: string): Promise<void> {
    await this.#pods.end(attemptId);
    const gang = this.#gangs.get(attemptId);
    if (gang !== undefined) gang.isOrdered ||= gang.fallen === undefined;
  }

  async collect(attemptId: string): Promise<EndedEvent> {
    const gang = this.#gangs.get(attemptId);
    if (gang === undefined) return this.#pods.collect(attemptId);
    gang.outcome ??= await this.#endOf(gang);
    return gang.outcome;
  }

  async #endOf(gang: Gang): Promise<EndedEvent> {
    const { attemptId } = gang.lease;
    const { kind } = await this.#pods.inspect(attemptId);
    const isOver = kind === 'exited' || kind === 'collected';
    const head = isOver ? await this.#pods.collect(attemptId) : undefined;
    const outcome = outcomeOfGang(gang, head?.outcome);
    if (outcome === undefined) throw new Error(`${attemptId} has not ended`);
    return { ...(head ?? this.#eventOf(outcome, attemptId)), outcome };
  }

  async conclude(event: EndedEvent): Promise<void> {
    const gang = this.#gangs.get(event.attemptId);
    if (gang === undefined) return this.#pods.conclude(event);
    await this.#forEach(gang, (id) => this.#pods.conclude({ ...event, attemptId: id }));
    gang.outcome = event;
  }

  async forget(attemptId: string): Promise<void> {
    const gang = this.#gangs.get(attemptId);
    if (gang === undefined) return this.#pods.forget(attemptId);
    await this.#forEach(gang, (id) => this.#pods.forget(id));
    this.#gangs.delete(attemptId);
  }

  /** The head last: as long as it is there, the gang is known to whoever finds it. */
  async #forEach({ lease }: Gang, act: (id: string) => Promise<void>): Promise<void> {
    const [head, ...workers] = memberIds(lease);
    await Promise.all(workers.map(act));
    await act(head!);
  }

  /** Of the first node that has something to wait for. */
  async describeStart(attemptId: string): Promise<string> {
    const { lease } = this.#gangs.get(attemptId) ?? { lease: { attemptId } };
    for (const id of memberIds(lease)) {
      const words = (await this.#pods.describeStart?.(id)) ?? '';
      if (words !== '') return words;
    }
    return '';
  }

  readLog(request: LogRequest): Promise<Uint8Array> {
    return this.#pods.readLog(request);
  }

  onChange(callback: (attemptId: string) => void): void {
    this.#onChange = callback;
    this.#pods.onChange((id) => callback(attemptOfMember(id)));
  }
}
