import type { AgentOrders, AgentSync, LogRequest } from '@majorana/protocol';
import type { Engine, EngineClock } from '../engine/engine.ts';
import type { NewsTaken } from '../engine/reactor.ts';

/** An agent that does not answer for a log within this time is taken for absent. */
const LOG_DEADLINE_MS = 15_000;

interface PendingLog {
  readonly agentId: string;
  readonly request: LogRequest;
  readonly resolve: (data: Buffer | undefined) => void;
}

/**
 * What agents talk to. An exchange with nothing to say is held open until there is, or until the
 * agent's wait is over. Log requests travel with the orders and are in memory only: whoever asked
 * is on the line, or asks again.
 */
export class AgentGateway {
  readonly #engine: Engine;
  readonly #clock: EngineClock;
  readonly #wakers = new Map<string, () => void>();
  readonly #logs = new Map<string, PendingLog>();
  /** Requests of an earlier server must not be answered to this one. */
  readonly #startedAtMs: number;
  #logCount = 0;

  constructor(engine: Engine, clock: EngineClock) {
    this.#engine = engine;
    this.#clock = clock;
    this.#startedAtMs = clock.nowMs();
  }

  async exchange(sync: AgentSync): Promise<AgentOrders> {
    for (const { requestId, dataBase64 } of sync.logChunks) {
      this.#finishLog(requestId, Buffer.from(dataBase64, 'base64'));
    }
    const news = await this.#engine.takeNews(sync);
    let orders = await this.#ordersFor(sync.agentId, news);
    if (isQuiet(orders) && sync.waitMs > 0) {
      await this.#wait(sync.agentId, sync.waitMs);
      orders = await this.#ordersFor(sync.agentId, NO_NEWS);
    }
    return orders;
  }

  async #ordersFor(agentId: string, news: NewsTaken): Promise<AgentOrders> {
    const { endedAttemptIds: forgetAttemptIds, wantsHeldAttemptIds } = news;
    const orders = await this.#engine.ordersFor(agentId);
    const logRequests = [...this.#logs.values()]
      .filter((log) => log.agentId === agentId)
      .map((log) => log.request);
    return { ...orders, forgetAttemptIds, wantsHeldAttemptIds, logRequests };
  }

  #wait(agentId: string, waitMs: number): Promise<void> {
    // A second exchange of the same agent means that the first has been given up.
    this.#wakers.get(agentId)?.();
    return new Promise((resolve) => {
      const finish = (): void => {
        cancel();
        if (this.#wakers.get(agentId) === finish) this.#wakers.delete(agentId);
        resolve();
      };
      const cancel = this.#clock.after(waitMs, finish);
      this.#wakers.set(agentId, finish);
    });
  }

  wake(agentIds: readonly string[]): void {
    for (const agentId of agentIds) this.#wakers.get(agentId)?.();
  }

  stop(): void {
    for (const finish of this.#wakers.values()) finish();
    for (const requestId of this.#logs.keys()) this.#finishLog(requestId, undefined);
  }

  /** What an attempt that runs has written from an offset on; undefined when its agent is silent. */
  readLog(agentId: string, request: Omit<LogRequest, 'requestId'>): Promise<Buffer | undefined> {
    const requestId = `log_${this.#startedAtMs}_${(this.#logCount += 1)}`;
    return new Promise((resolve) => {
      const cancel = this.#clock.after(LOG_DEADLINE_MS, () =>
        this.#finishLog(requestId, undefined),
      );
      this.#logs.set(requestId, {
        agentId,
        request: { requestId, ...request },
        resolve: (data) => {
          cancel();
          resolve(data);
        },
      });
      this.wake([agentId]);
    });
  }

  #finishLog(requestId: string, data: Buffer | undefined): void {
    this.#logs.get(requestId)?.resolve(data);
    this.#logs.delete(requestId);
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
