import type { Change } from '@majorana/store';
import type { FastifyBaseLogger } from 'fastify';
import type { EngineListener } from './engine/engine.ts';
import type { Metrics } from './metrics.ts';

/**
 * What the engine did, told to those who wait for it: metrics, the log, event streams, agents.
 * Nothing here can fail the engine.
 */
export class EngineEvents implements EngineListener {
  readonly #log: FastifyBaseLogger;
  readonly #metrics: Metrics;
  readonly #waiting = new Map<number, Set<() => void>>();
  /** Set once the gateway is there. */
  wakeAgents: (agentIds: readonly string[]) => void = () => undefined;
  /** Set once the runners' links are there. */
  tellRunners: (change: Change) => void = () => undefined;
  /** Set once the workflows are there. */
  onJobChanges: (jobIds: readonly number[]) => void = () => undefined;

  constructor(log: FastifyBaseLogger, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  onCommit(change: Change, tookMs: number): void {
    this.tellRunners(change);
    this.#metrics.commitSeconds.observe(tookMs / 1000);
    for (const { toState } of change.transitions) this.#metrics.transitions.inc({ to: toState });
    for (const attempt of change.attempts) {
      if (attempt.outcome === null) continue;
      this.#metrics.attempts.inc({ outcome: attempt.outcome });
      if (attempt.outcome === 'lost') {
        const { jobId, position, attemptNumber, agentId, reason } = attempt;
        this.#log.warn({ jobId, position, attemptNumber, agentId, reason }, 'attempt lost');
      }
    }
    for (const { jobId, counts, endedAtMs } of change.jobs) {
      if (endedAtMs !== null) this.#log.info({ jobId, counts }, 'job ended');
    }
  }

  onJobs(jobIds: readonly number[]): void {
    this.onJobChanges(jobIds);
    for (const jobId of jobIds) {
      const wakers = this.#waiting.get(jobId);
      this.#waiting.delete(jobId);
      for (const wake of wakers ?? []) wake();
    }
  }

  onAgents(agentIds: readonly string[]): void {
    this.wakeAgents(agentIds);
  }

  onReload(error: Error): void {
    this.#metrics.reloads.inc();
    this.#log.error({ error: error.stack }, 'a write failed; the engine loads again');
  }

  /** Resolves at the job's next change, or after a time. */
  nextChange(jobId: number, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wakers = this.#waiting.get(jobId) ?? new Set();
      const finish = (): void => {
        clearTimeout(timer);
        wakers.delete(finish);
        resolve();
      };
      const timer = setTimeout(finish, timeoutMs);
      this.#waiting.set(jobId, wakers.add(finish));
    });
  }
}
