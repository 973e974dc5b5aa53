import type {
  AgentOrders,
  AgentStream,
  AgentSync,
  ClusterReport,
  Lease,
  LogRequest,
  NodesAnswer,
  NodesRequest,
} from '@majorana/protocol';
import type { Engine, EngineClock } from '../engine/engine.ts';
import type { NewsTaken } from '../engine/reactor.ts';
import { HeldAnswers } from './held-answers.ts';
import { QuestionDesk } from './question-desk.ts';
import type { RunnerTokens } from './runner-tokens.ts';

export interface KeptReport {
  readonly report: ClusterReport;
  readonly atMs: number;
}

/** Whoever asks why a task waits is told without it rather than late. */
const START_DEADLINE_MS = 3000;
/** How soon an agent that may not act asks again: it takes over so soon after a release. */
const STANDBY_WAIT_MS = 2000;

/**
 * What agents talk to. An exchange with nothing to say is held open until there is, or until the
 * agent's wait is over. Questions for logs and nodes travel with the orders.
 */
export class AgentGateway {
  readonly #engine: Engine;
  readonly #clock: EngineClock;
  readonly #tokens: Pick<RunnerTokens, 'make'> | undefined;
  readonly #held: HeldAnswers;
  readonly #logs: QuestionDesk<LogRequest<AgentStream>, Buffer>;
  readonly #nodes: QuestionDesk<NodesRequest, NodesAnswer>;
  /** Agents whose tasks have runners, which speak for their logs themselves. */
  readonly #withRunners = new Set<string>();
  readonly #reports = new Map<string, KeptReport>();
  /** Agents whose open exchange is to be answered with nothing. */
  readonly #hungUp = new Set<string>();

  constructor(engine: Engine, clock: EngineClock, tokens?: Pick<RunnerTokens, 'make'>) {
    this.#engine = engine;
    this.#clock = clock;
    this.#tokens = tokens;
    this.#held = new HeldAnswers(clock);
    this.#logs = new QuestionDesk('log', clock);
    this.#nodes = new QuestionDesk('nodes', clock);
  }

  async exchange(sync: AgentSync): Promise<AgentOrders> {
    const { agentId, session } = sync;
    const news = await this.#engine.takeNews(sync);
    if (news.isStandby === true) return this.#standBy(sync);
    if (session?.phase === 'claim') return NO_ORDERS;
    this.#takeAnswers(sync);
    let orders = await this.#ordersFor(sync, news);
    if (isQuiet(orders) && sync.waitMs > 0) {
      await this.#held.wait(agentId, sync.waitMs);
      if (this.#hungUp.delete(agentId)) return NO_ORDERS;
      orders = await this.#ordersFor(sync, NO_NEWS);
    }
    return orders;
  }

  async #standBy({ agentId, session, waitMs }: AgentSync): Promise<AgentOrders> {
    if (session?.phase === 'claim' && waitMs > 0)
      await this.#held.wait(`${agentId} ${session.id}`, Math.min(waitMs, STANDBY_WAIT_MS));
    return { ...NO_ORDERS, isStandby: true };
  }

  /** Of an agent that acts: what it was asked for, and how its cluster is. */
  #takeAnswers(sync: AgentSync): void {
    const { agentId, report } = sync;
    if (sync.needsRunnerTokens === true) this.#withRunners.add(agentId);
    else this.#withRunners.delete(agentId);
    for (const { requestId, dataBase64 } of sync.logChunks)
      this.#logs.answer(agentId, requestId, Buffer.from(dataBase64, 'base64'));
    for (const answer of sync.nodesAnswers ?? [])
      this.#nodes.answer(agentId, answer.requestId, answer);
    if (report !== undefined) this.#reports.set(agentId, { report, atMs: this.#clock.nowMs() });
  }

  async #ordersFor(sync: AgentSync, news: NewsTaken): Promise<AgentOrders> {
    const { endedAttemptIds: forgetAttemptIds, wantsHeldAttemptIds } = news;
    const { leases, ...orders } = await this.#engine.ordersFor(sync.agentId);
    const nodesRequests = this.#nodes.questionsFor(sync.agentId);
    return {
      leases: sync.needsRunnerTokens === true ? await this.#withTokens(leases) : leases,
      ...orders,
      forgetAttemptIds,
      wantsHeldAttemptIds,
      logRequests: this.#logs.questionsFor(sync.agentId),
      ...(nodesRequests.length > 0 && { nodesRequests }),
    };
  }

  #withTokens(leases: readonly Lease[]): Promise<Lease[]> {
    const tokens = this.#tokens;
    if (tokens === undefined) throw new Error('this gateway makes no tokens for runners');
    return Promise.all(
      leases.map(async (lease) => ({ ...lease, runnerToken: await tokens.make(lease.attemptId) })),
    );
  }

  wake(agentIds: readonly string[]): void {
    for (const agentId of agentIds) this.#held.wake(agentId);
  }

  /** The exchange that is open may be by a token that is no longer taken: it hears nothing more. */
  hangUp(agentId: string): void {
    this.#hungUp.add(agentId);
    this.wake([agentId]);
  }

  stop(): void {
    this.#held.stop();
    this.#logs.stop();
    this.#nodes.stop();
  }

  /** What an attempt that runs has written from an offset on; undefined when its agent is silent. */
  async readLog(
    agentId: string,
    request: Omit<LogRequest, 'requestId'>,
  ): Promise<Buffer | undefined> {
    if (this.#withRunners.has(agentId)) return undefined;
    return this.#ask(agentId, request);
  }

  /** What an attempt waits for that has not started, in the words of its cluster. */
  async describeStart(agentId: string, attemptId: string): Promise<string | undefined> {
    if (!this.#withRunners.has(agentId)) return undefined;
    const request = { attemptId, stream: 'start', offset: 0, bytesMax: 0 } as const;
    const words = await this.#ask(agentId, request, START_DEADLINE_MS);
    return words?.toString();
  }

  #ask(
    agentId: string,
    request: Omit<LogRequest<AgentStream>, 'requestId'>,
    deadlineMs?: number,
  ): Promise<Buffer | undefined> {
    const answer = this.#logs.ask(agentId, request, deadlineMs);
    this.wake([agentId]);
    return answer;
  }

  /** As its agent last said; undefined: not since this control plane started. */
  reportOf(name: string): KeptReport | undefined {
    return this.#reports.get(name);
  }

  forget(name: string): void {
    this.#reports.delete(name);
  }

  /** The nodes of a cluster behind one, in the order of their names; undefined: its agent is silent. */
  readNodes(name: string, page: Omit<NodesRequest, 'requestId'>): Promise<NodesAnswer | undefined> {
    const answer = this.#nodes.ask(name, page);
    this.wake([name]);
    return answer;
  }
}

const NO_NEWS: NewsTaken = { endedAttemptIds: [], wantsHeldAttemptIds: false };
const NO_ORDERS: AgentOrders = {
  leases: [],
  endAttemptIds: [],
  forgetAttemptIds: [],
  wantsHeldAttemptIds: false,
  logRequests: [],
};

const isQuiet = (orders: AgentOrders): boolean =>
  !orders.wantsHeldAttemptIds &&
  orders.waiting === undefined &&
  orders.nodesRequests === undefined &&
  orders.leases.length +
    orders.endAttemptIds.length +
    orders.forgetAttemptIds.length +
    orders.logRequests.length ===
    0;
