import type { AgentOrders, AgentStream, AgentSync, Lease, LogRequest } from '@majorana/protocol';
import type { Engine, EngineClock } from '../engine/engine.ts';
import type { NewsTaken } from '../engine/reactor.ts';
import { HeldAnswers } from './held-answers.ts';
import { LogDesk } from './log-desk.ts';
import type { RunnerTokens } from './runner-tokens.ts';

/** Whoever asks why a task waits is told without it rather than late. */
const START_DEADLINE_MS = 3000;

/**
 * What agents talk to. An exchange with nothing to say is held open until there is, or until the
 * agent's wait is over. Log requests travel with the orders.
 */
export class AgentGateway {
  readonly #engine: Engine;
  readonly #tokens: Pick<RunnerTokens, 'make'> | undefined;
  readonly #held: HeldAnswers;
  readonly #logs: LogDesk<AgentStream>;
  /** Agents whose tasks have runners, which speak for their logs themselves. */
  readonly #withRunners = new Set<string>();

  constructor(engine: Engine, clock: EngineClock, tokens?: Pick<RunnerTokens, 'make'>) {
    this.#engine = engine;
    this.#tokens = tokens;
    this.#held = new HeldAnswers(clock);
    this.#logs = new LogDesk(clock);
  }

  async exchange(sync: AgentSync): Promise<AgentOrders> {
    if (sync.needsRunnerTokens === true) this.#withRunners.add(sync.agentId);
    else this.#withRunners.delete(sync.agentId);
    for (const { requestId, dataBase64 } of sync.logChunks) {
      this.#logs.answer(sync.agentId, requestId, Buffer.from(dataBase64, 'base64'));
    }
    const news = await this.#engine.takeNews(sync);
    let orders = await this.#ordersFor(sync, news);
    if (isQuiet(orders) && sync.waitMs > 0) {
      await this.#held.wait(sync.agentId, sync.waitMs);
      orders = await this.#ordersFor(sync, NO_NEWS);
    }
    return orders;
  }

  async #ordersFor(sync: AgentSync, news: NewsTaken): Promise<AgentOrders> {
    const { endedAttemptIds: forgetAttemptIds, wantsHeldAttemptIds } = news;
    const { leases, ...orders } = await this.#engine.ordersFor(sync.agentId);
    const logRequests = this.#logs.requestsFor(sync.agentId);
    return {
      leases: sync.needsRunnerTokens === true ? await this.#withTokens(leases) : leases,
      ...orders,
      forgetAttemptIds,
      wantsHeldAttemptIds,
      logRequests,
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

  stop(): void {
    this.#held.stop();
    this.#logs.stop();
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
}

const NO_NEWS: NewsTaken = { endedAttemptIds: [], wantsHeldAttemptIds: false };

const isQuiet = (orders: AgentOrders): boolean =>
  !orders.wantsHeldAttemptIds &&
  orders.waiting === undefined &&
  orders.leases.length +
    orders.endAttemptIds.length +
    orders.forgetAttemptIds.length +
    orders.logRequests.length ===
    0;
