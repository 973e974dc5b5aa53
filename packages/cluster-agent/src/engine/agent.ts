import type { Resources } from '@majorana/core';
import { IdDigest } from '@majorana/core';
import type {
  AgentOrders,
  AgentSync,
  AttemptEvent,
  ClusterReport,
  Lease,
  NodesAnswer,
  NodesRequest,
  WaitingShapes,
} from '@majorana/protocol';
import type { AttemptContext } from './held-attempt.ts';
import { HeldAttempt } from './held-attempt.ts';
import { eventBytes } from './kept-event.ts';
import { LogAnswers } from './log-answers.ts';
import type { AgentClock, AttemptHost, Exchange } from './ports.ts';
import type { RoomPort } from './room.ts';
import { Room } from './room.ts';
import type { AgentSession } from './session.ts';
import { Slots } from './slots.ts';

const SECOND = 1000;
/** The host's notices may be lost; this looks at what they should have told. */
const SWEEP_MS = 1 * SECOND;
const LONG_POLL_MS = 10 * SECOND;
/** A session is renewed four times before it would be over. */
const LONG_POLL_IN_SESSION_MS = 5 * SECOND;
/** An exchange without an answer for this much longer than it asked for is given up. */
const ANSWER_PATIENCE_MS = 30 * SECOND;
/** Between exchanges that got no answer: doubled each time up to the second. */
const RETRY_MS = 200;
const RETRY_MS_MAX = 2 * SECOND;
/** Each holds a few open files and buffers of 64 kB; more at once only makes a disk seek. */
const COLLECTS_MAX = 8;
const STAGINGS_MAX = 8;
/** How long a stop waits for host calls under way; they may be repeated, so none must finish. */
const STOP_PATIENCE_MS = 5 * SECOND;
/** A long poll that says nothing new sooner than this is answered at once, over and over. */
const SPIN_MS = 100;
/** From the hand-over of an attempt to its program: the launcher takes 3 ms, a busy machine more. */
const HANDOVER_MS = 1 * SECOND;
/** As the protocol has it. */
const EVENTS_PER_SYNC_MAX = 100_000;
/** Half of what the API takes; 10,000 tasks that end at once with ten outputs each are 30 MB. */
const EVENTS_BYTES_MAX = 16 * 1024 * 1024;

/** Of an agent that places tasks on nodes. */
export interface Placer {
  readonly room: RoomPort;
  /** What it has now; it changes as nodes come and go. */
  readonly capacity: Resources;
  offer(waiting: WaitingShapes): NonNullable<AgentSync['offer']>;
  /** Called when there may be more to offer. */
  onRoom: () => void;
  /** What has changed since it was last delivered, now and then; all of it to a new server. */
  report(isServerNew: boolean): ClusterReport | undefined;
  reportDelivered(report: ClusterReport): void;
  nodes(request: NodesRequest): NodesAnswer;
}

export interface AgentOptions {
  readonly agentId: string;
  readonly capacity: Resources;
  readonly host: AttemptHost;
  readonly placer?: Placer;
  /** Of an agent whose host another process may act on too; claimed before the start. */
  readonly session?: AgentSession;
  /** Another agent acts: this one is stopped, and what it knows is old. */
  readonly onFenced?: () => void;
  /** Its host starts runners, which need tokens. */
  readonly needsRunnerTokens?: boolean;
  /** At least so long from one exchange to the next: what happens in between is told together. */
  readonly paceMs?: number;
  /** How often everything held is looked at, whatever was noticed. */
  readonly sweepMs?: number;
  readonly corePricePerHour?: number;
  readonly exchange: Exchange;
  readonly clock: AgentClock;
  readonly log: (message: string, details: object) => void;
}

/**
 * Runs leases on a host. The loop, ideally: say everything, hear what to hold, make it so. In fact
 * it says only what has not been answered, and holds nothing that the host does not remember: a new
 * agent over the same host goes on where a killed one stood, whichever await it was killed at.
 */
export class Agent {
  readonly #options: AgentOptions;
  readonly #context: AttemptContext;
  readonly #held = new Map<string, HeldAttempt>();
  /** Of all held. */
  readonly #digest = new IdDigest();
  /** Held, with something that the server may not know. */
  readonly #newsworthy = new Set<HeldAttempt>();
  /** Held, and no answer says that the server knows. */
  readonly #added = new Set<string>();
  /** The server does not know what is held: it is new here, or asked. */
  #mustNameAll = true;
  /** It might not act for a while: what has happened meanwhile nobody has looked at. */
  #isBehind = false;
  /** No longer told to the server; the host may not have done it yet. */
  readonly #forgetting = new Map<string, HeldAttempt>();
  readonly #logs: LogAnswers;
  readonly #nodesRequests = new Map<string, NodesRequest>();
  /** What the server said waits for room. */
  #waiting: WaitingShapes = { digest: '', shapes: [] };
  /** Tasks of each shape that were offered last. */
  #offered = new Map<string, number>();
  #isStopped = false;
  #loop: Promise<void> = Promise.resolve();
  #cancelSweep: () => void = () => undefined;
  /** Ends a wait that only waits, when there is news. */
  #cutWait: () => void = () => undefined;
  /** Ends any wait, at a stop. */
  #breakWait: () => void = () => undefined;

  constructor(options: AgentOptions) {
    const { host, clock, log } = options;
    this.#options = options;
    const onNews = (): void => this.#cutWait();
    this.#logs = new LogAnswers(host, onNews);
    this.#context = {
      host,
      clock,
      log,
      staging: new Slots(STAGINGS_MAX),
      collecting: new Slots(COLLECTS_MAX),
      room: options.placer?.room ?? new Room(options.capacity),
      isStopped: () => this.#isStopped || options.session?.mayAct() === false,
      onNews: (attempt) => {
        this.#newsworthy.add(attempt);
        onNews();
      },
      onForgotten: (attemptId) => this.#forgetting.delete(attemptId),
    };
  }

  /** Resolves when the attempts that the host remembers are held again. */
  async start(): Promise<void> {
    const { host } = this.#options;
    host.onChange((attemptId) => this.#held.get(attemptId)?.wake());
    if (this.#options.placer !== undefined) this.#options.placer.onRoom = () => this.#offerMore();
    const remembered = await this.#remembered();
    const attempts = remembered.map(({ lease }) => this.#hold(lease, false));
    await this.#recall(attempts);
    if (this.#isStopped) return;
    this.#sweep();
    this.#loop = this.#syncLoop();
  }

  /**
   * What runs takes its room before anything else is started. What the agent before this one handed
   * over last may begin a moment later, and looks until then as if it never would.
   */
  async #recall(attempts: readonly HeldAttempt[]): Promise<void> {
    const standings = await Promise.all(attempts.map((attempt) => attempt.recall()));
    const accepted = attempts.filter((_attempt, index) => standings[index] === 'accepted');
    if (accepted.length === 0) return;
    await this.#pause(HANDOVER_MS, false);
    await Promise.all(accepted.map((attempt) => attempt.recall()));
  }

  /** Ends no task. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelSweep();
    this.#breakWait();
    await this.#loop;
    const rounds = [...this.#held.values(), ...this.#forgetting.values()].map((one) => one.round);
    let cancelTimer = (): void => undefined;
    const patience = new Promise<void>((resolve) => {
      cancelTimer = this.#options.clock.after(STOP_PATIENCE_MS, resolve);
    });
    await Promise.race([Promise.all(rounds), patience]);
    cancelTimer();
    await this.#options.session?.release();
  }

  /** Nothing may be said before it is known what is held: the server would take it for lost. */
  async #remembered(): Promise<readonly { readonly lease: Lease }[]> {
    while (!this.#isStopped) {
      try {
        return await this.#options.host.list();
      } catch (error) {
        this.#options.log('the attempts of this host cannot be read', { error: String(error) });
        await this.#pause(RETRY_MS_MAX, false);
      }
    }
    return [];
  }

  #hold(lease: Lease, isFresh: boolean): HeldAttempt {
    const attempt = new HeldAttempt(lease, isFresh, this.#context);
    this.#held.set(lease.attemptId, attempt);
    this.#digest.add(lease.attemptId);
    this.#added.add(lease.attemptId);
    return attempt;
  }

  #sweep(): void {
    for (const attempt of this.#held.values()) attempt.wake();
    for (const attempt of this.#forgetting.values()) attempt.wake();
    const { clock, sweepMs = SWEEP_MS } = this.#options;
    this.#cancelSweep = clock.after(sweepMs, () => this.#sweep());
  }

  async #syncLoop(): Promise<void> {
    const { clock, paceMs = 0 } = this.#options;
    let retryMs = RETRY_MS;
    let askedAtMs = -Infinity;
    while (!this.#isStopped) {
      const restMs = askedAtMs + paceMs - clock.nowMs();
      if (restMs > 0) await this.#pause(restMs, false);
      const sync = this.#compose();
      askedAtMs = clock.nowMs();
      const sentAtMs = this.#options.session?.nowMs() ?? 0;
      const answer = await this.#exchangeOnce(sync);
      if (answer === 'cut') continue;
      if (answer === 'none') {
        await this.#pause(retryMs, false);
        retryMs = Math.min(RETRY_MS_MAX, retryMs * 2);
        continue;
      }
      retryMs = RETRY_MS;
      if (answer.isStandby === true) return this.#fence();
      this.#isBehind ||= this.#options.session?.mayAct() === false;
      this.#options.session?.renew(sentAtMs);
      this.#delivered(sync);
      const isChanged = this.#obey(answer);
      this.#catchUp();
      // An order repeated at once (an end within its grace) must not spin the loop.
      const isSpinning = !isChanged && sync.waitMs > 0 && clock.nowMs() - askedAtMs < SPIN_MS;
      if (isSpinning && this.#compose().waitMs > 0) await this.#pause(RETRY_MS, true);
    }
  }

  /** Once the server has said what of it is not this agent's any more. */
  #catchUp(): void {
    if (!this.#isBehind || this.#mustNameAll) return;
    this.#isBehind = false;
    this.#cancelSweep();
    this.#sweep();
  }

  /** Whatever is under way finishes its one call; nothing follows it. */
  #fence(): void {
    this.#isStopped = true;
    this.#cancelSweep();
    this.#options.session?.end();
    this.#options.log('another agent of this name acts; what this one knew is dropped', {});
    this.#options.onFenced?.();
  }

  #compose(): AgentSync {
    const { agentId, capacity } = this.#options;
    const events = this.#events();
    const logChunks = this.#logs.chunks();
    const { session } = this.#options;
    const newsCount = events.length + logChunks.length + this.#nodesRequests.size;
    // One that may not act for want of an answer waits for nothing else.
    const isQuiet = newsCount === 0 && session?.mayAct() !== false;
    const longPollMs = session === undefined ? LONG_POLL_MS : LONG_POLL_IN_SESSION_MS;
    const waitMs = isQuiet ? longPollMs : 0;
    const held = this.#sayHeld(events);
    const settings = this.#settings();
    return { agentId, capacity, ...settings, ...held, events, logChunks, waitMs };
  }

  /** What there is to tell, as much as one exchange takes; the rest goes with the next. */
  #events(): AttemptEvent[] {
    const events: AttemptEvent[] = [];
    let bytes = 0;
    for (const attempt of this.#newsworthy) {
      const event = this.#held.has(attempt.attemptId) ? attempt.news() : undefined;
      if (event === undefined) {
        this.#newsworthy.delete(attempt);
        continue;
      }
      bytes += eventBytes(event);
      if (events.length === EVENTS_PER_SYNC_MAX) break;
      if (events.length > 0 && bytes > EVENTS_BYTES_MAX) break;
      events.push(event);
    }
    return events;
  }

  #settings(): Partial<AgentSync> {
    const { placer, needsRunnerTokens, corePricePerHour, session } = this.#options;
    const report = placer?.report(this.#mustNameAll);
    const asked = [...this.#nodesRequests.values()];
    const offer = placer?.offer(this.#waiting);
    this.#offered = new Map(offer?.shapes.map(({ key, count }) => [key, count]));
    return {
      ...(placer && { capacity: placer.capacity, offer }),
      ...(session && { session: { id: session.id, phase: 'act' } }),
      ...(report && { report }),
      ...(placer && asked.length > 0 && { nodesAnswers: asked.map((one) => placer.nodes(one)) }),
      ...(needsRunnerTokens && { needsRunnerTokens }),
      ...(corePricePerHour !== undefined && { corePricePerHour }),
    };
  }

  /** A wait is cut short when there is more room than the server knows of. */
  #offerMore(): void {
    const { shapes = [] } = this.#options.placer?.offer(this.#waiting) ?? {};
    if (shapes.some(({ key, count }) => count > (this.#offered.get(key) ?? 0))) this.#cutWait();
  }

  #sayHeld(events: readonly AttemptEvent[]): Pick<AgentSync, 'held' | 'heldAttemptIds'> {
    if (this.#mustNameAll) return { heldAttemptIds: [...this.#held.keys()] };
    const digest = this.#digest.copy();
    for (const event of events) if (event.kind === 'ended') digest.remove(event.attemptId);
    return { held: { addedAttemptIds: [...this.#added], digest: digest.toString() } };
  }

  /**
   * At most one exchange is open, and the answer of one that was given up is dropped: it may order
   * a lease that has been run and forgotten since.
   */
  async #exchangeOnce(sync: AgentSync): Promise<AgentOrders | 'cut' | 'none'> {
    const { exchange, clock, log } = this.#options;
    const abort = new AbortController();
    const givenUp = new Promise<'cut' | 'none'>((resolve) => {
      abort.signal.addEventListener('abort', () => resolve(abort.signal.reason));
    });
    const cancelTimer = clock.after(sync.waitMs + ANSWER_PATIENCE_MS, () => abort.abort('none'));
    this.#breakWait = () => abort.abort('cut');
    if (sync.waitMs > 0) this.#cutWait = this.#breakWait;
    try {
      return await Promise.race([exchange(sync, abort.signal), givenUp]);
    } catch (error) {
      if (abort.signal.aborted) return abort.signal.reason;
      log('no answer from the control plane', { error: String(error) });
      return 'none';
    } finally {
      cancelTimer();
      this.#clearWait();
    }
  }

  #pause(delayMs: number, isCuttable: boolean): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        cancelTimer();
        this.#clearWait();
        resolve();
      };
      const cancelTimer = this.#options.clock.after(delayMs, end);
      this.#breakWait = end;
      if (isCuttable) this.#cutWait = end;
    });
  }

  #clearWait(): void {
    this.#breakWait = () => undefined;
    this.#cutWait = () => undefined;
  }

  #delivered(sync: AgentSync): void {
    for (const event of sync.events) this.#held.get(event.attemptId)?.told(event);
    if (sync.heldAttemptIds !== undefined) this.#mustNameAll = false;
    for (const attemptId of sync.heldAttemptIds ?? sync.held?.addedAttemptIds ?? [])
      this.#added.delete(attemptId);
    this.#logs.delivered(sync.logChunks);
    for (const { requestId } of sync.nodesAnswers ?? []) this.#nodesRequests.delete(requestId);
    if (sync.report !== undefined) this.#options.placer?.reportDelivered(sync.report);
  }

  /** Answers whether anything was new. Leases come before ends: both may name the same attempt. */
  #obey(orders: AgentOrders): boolean {
    let isChanged = orders.wantsHeldAttemptIds || orders.waiting !== undefined;
    this.#waiting = orders.waiting ?? this.#waiting;
    this.#mustNameAll ||= orders.wantsHeldAttemptIds;
    for (const attemptId of orders.forgetAttemptIds) {
      const attempt = this.#held.get(attemptId);
      if (attempt === undefined) continue;
      this.#held.delete(attemptId);
      this.#digest.remove(attemptId);
      this.#added.delete(attemptId);
      this.#newsworthy.delete(attempt);
      this.#forgetting.set(attemptId, attempt);
      attempt.forget();
      isChanged = true;
    }
    for (const lease of orders.leases) {
      if (this.#held.has(lease.attemptId) || this.#forgetting.has(lease.attemptId)) continue;
      this.#hold(lease, true).wake();
      isChanged = true;
    }
    for (const attemptId of orders.endAttemptIds) {
      isChanged = (this.#held.get(attemptId)?.end() ?? false) || isChanged;
    }
    return this.#takeQuestions(orders) || isChanged;
  }

  #takeQuestions({ logRequests, nodesRequests = [] }: AgentOrders): boolean {
    let isNew = nodesRequests.length > 0;
    for (const request of nodesRequests) this.#nodesRequests.set(request.requestId, request);
    for (const request of logRequests) isNew = this.#logs.request(request) || isNew;
    return isNew;
  }
}
