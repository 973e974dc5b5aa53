import type { AttemptOutcome } from '@majorana/core';
import type { EndedEvent, Lease, LogRequest } from '@majorana/protocol';
import type { AgentClock, AttemptHost, AttemptStanding } from '../engine/ports.ts';
import { attemptOfMember, memberId, memberIds, nodeRankOf } from './gang-member.ts';

/**
 * How long a head's failure waits for that of a rank: what killed the rank made the head fail, and
 * the kubelet may tell of the head first. It tells of an end within 2 s.
 */
const CAUSE_WAIT_MS = 4000;

interface Gang {
  readonly lease: Lease;
  /** Found in the cluster: what is missing of it was not made, or is gone. */
  readonly isFound: boolean;
  /** A user has ended it: whatever falls from then on is no reason. */
  isOrdered: boolean;
  /** The first node that ended before the head, and how. */
  fallen?: Fallen | undefined;
  headFailedAtMs?: number;
  outcome?: EndedEvent;
}

interface Fallen {
  readonly id: string;
  readonly event: EndedEvent;
}

const hasEnded = ({ kind }: AttemptStanding): boolean =>
  kind === 'exited' || kind === 'collected' || kind === 'gone';

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
      if (lease.gang !== undefined)
        this.#gangs.set(attemptId, { lease, isFound: true, isOrdered: false });
    return [...byAttempt].map(([attemptId, lease]) => ({ attemptId, lease }));
  }

  async inspect(attemptId: string): Promise<AttemptStanding> {
    const gang = this.#gangs.get(attemptId);
    if (gang === undefined) return this.#pods.inspect(attemptId);
    if (gang.outcome !== undefined) return { kind: 'collected', event: gang.outcome };
    const ids = memberIds(gang.lease);
    const [head, ...workers] = await Promise.all(ids.map((id) => this.#pods.inspect(id)));
    gang.fallen ??= await this.#findFallen(gang, workers);
    if (head!.kind === 'exited') return this.#headEnded(gang);
    if (hasEnded(head!)) return head!;
    if (gang.fallen !== undefined)
      return head!.kind === 'running' ? { ...head!, isBroken: true } : { kind: 'exited' };
    const all = [head!, ...workers];
    const missing = all.findIndex(({ kind }) => kind === 'absent');
    if (missing >= 0) return gang.isFound ? incomplete(missing, ids.length) : { kind: 'absent' };
    return all.every(({ kind }) => kind === 'running') ? head! : { kind: 'accepted' };
  }

  async #findFallen(gang: Gang, workers: readonly AttemptStanding[]): Promise<Fallen | undefined> {
    const at = workers.findIndex(hasEnded);
    const standing = workers[at];
    if (gang.isOrdered || standing === undefined) return undefined;
    const id = memberId(gang.lease.attemptId, at + 1);
    if (standing.kind !== 'gone') return { id, event: await this.#pods.collect(id) };
    const outcome: AttemptOutcome = { ...standing, kind: 'lost' };
    await this.#pods.conclude(this.#eventOf(gang, outcome, id));
    return { id, event: this.#eventOf(gang, outcome, id) };
  }

  #eventOf({ lease }: Gang, outcome: AttemptOutcome, id = lease.attemptId): EndedEvent {
    return {
      kind: 'ended',
      attemptId: id,
      atMs: this.#clock.nowMs(),
      outcome,
      peakMemoryBytes: 0,
      cpuTimeMs: 0,
      artifacts: [],
    };
  }

  async #headEnded(gang: Gang): Promise<AttemptStanding> {
    const { attemptId } = gang.lease;
    const event = await this.#pods.collect(attemptId);
    const isClear = event.outcome.kind === 'succeeded' || gang.isOrdered;
    if (isClear || gang.fallen !== undefined) return { kind: 'exited' };
    const nowMs = this.#clock.nowMs();
    if (gang.headFailedAtMs === undefined) {
      gang.headFailedAtMs = nowMs;
      this.#clock.after(CAUSE_WAIT_MS, () => this.#onChange(attemptId));
    }
    if (nowMs - gang.headFailedAtMs >= CAUSE_WAIT_MS) return { kind: 'exited' };
    return { kind: 'running', startedAtMs: event.startedAtMs ?? event.atMs };
  }

  async accept(lease: Lease): Promise<void> {
    const { attemptId, gang } = lease;
    if (gang === undefined) return this.#pods.accept(lease);
    for (const id of memberIds(lease)) await this.#pods.accept({ ...lease, attemptId: id });
    this.#gangs.set(attemptId, { lease, isFound: false, isOrdered: false });
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
    const head = await this.#pods.inspect(attemptId);
    const event = hasEnded(head) && head.kind !== 'gone' && (await this.#pods.collect(attemptId));
    gang.outcome ??= this.#endOf(gang, event === false ? undefined : event);
    return gang.outcome;
  }

  /** A node that fell before is the reason of whatever the head then did, but of its success. */
  #endOf(gang: Gang, head: EndedEvent | undefined): EndedEvent {
    const { fallen, lease } = gang;
    if (fallen === undefined || head?.outcome.kind === 'succeeded') return head!;
    const { id, event } = fallen;
    const where = `node ${nodeRankOf(id)} of its ${lease.gang!.nodes}`;
    const outcome = { ...event.outcome, reason: `${where}: ${event.outcome.reason}` };
    return { ...(head ?? this.#eventOf(gang, outcome)), outcome };
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

const incomplete = (nodeRank: number, nodes: number): AttemptStanding => ({
  kind: 'gone',
  reason: `node ${nodeRank} of its ${nodes} has no pod: it was not made, or deleted`,
});
