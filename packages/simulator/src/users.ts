import type { QueueSettings } from '@majorana/protocol';
import { LATE_MS_MAX, Link } from './network.ts';
import type { Answer, Network } from './network.ts';
import type { Random } from './random.ts';
import type { ServerProcess } from './server-process.ts';
import { isFinal } from './server-process.ts';
import type { PlannedJob, PlannedOperation } from './workload.ts';
import { QUEUES } from './workload.ts';
import type { World } from './world.ts';

const PATIENCE_MS = 10_000;
const PAUSE_MS_MEAN = 500;

interface Question<T> {
  readonly jobId: number;
  readonly text: string;
  readonly serve: (server: ServerProcess) => Promise<T>;
}

/** People and their scripts: they submit, cancel and retry, and ask again until they are answered. */
export class Users {
  readonly #world: World;
  readonly #network: Network;
  readonly #random: Random;
  readonly #link: Link;
  /** By planned number; a job is missing while it is not acknowledged. */
  readonly #jobIds = new Map<number, number>();
  readonly #settled = new Set<number>();
  readonly #waiting = new Map<number, (() => void)[]>();
  #openCount = 0;

  constructor(world: World, network: Network) {
    this.#world = world;
    this.#network = network;
    this.#random = world.random.stream('users');
    this.#link = new Link('users', this.#random.stream('link'));
  }

  /** Nobody wants anything any more. */
  get areDone(): boolean {
    return this.#openCount === 0;
  }

  get acknowledgedCount(): number {
    return this.#jobIds.size;
  }

  play(jobs: readonly PlannedJob[]): void {
    for (const job of jobs) this.#run(() => this.#playJob(job));
  }

  /** Settings change at random until `untilMs`; afterwards all queues run freely. */
  playQueues(untilMs: number): void {
    for (const name of QUEUES) {
      const random = this.#random.stream(`queue/${name}`);
      this.#run(async () => {
        while (this.#world.time.nowMs < untilMs) {
          await this.#sleep(random.exponential(untilMs / 4));
          await this.#setQueue(name, {
            weight: random.spread(0.1, 10),
            isPaused: random.chance(0.3),
            ...(random.chance(0.4) ? { parallelMax: random.int(0, 20) } : {}),
          });
        }
        // A setting that is still on its way must not be the last to arrive.
        await this.#sleep(Math.max(0, untilMs - this.#world.time.nowMs) + LATE_MS_MAX);
        await this.#setQueue(name, { weight: 1, isPaused: false });
      });
    }
  }

  async #playJob(job: PlannedJob): Promise<void> {
    await this.#sleep(job.submitAtMs);
    for (const { number } of job.after) {
      if (await this.#acknowledgement(number)) continue;
      this.#settle(job.number);
      return;
    }
    const spec = job.spec(this.#jobIds);
    const submit: Question<{ readonly jobId: number }> = {
      jobId: 0,
      text: `submit ${spec.name}`,
      serve: (server) => server.submit(structuredClone(spec)),
    };
    const isRepeatable = spec.idempotencyKey !== undefined;
    if (job.isSubmittedTwice) {
      this.#run(async () => {
        const twin = await this.#ask(submit);
        if (twin !== undefined) this.#world.oracle.onAcknowledged(spec, twin.jobId);
      });
    }
    // Without a key, asking again would submit another job.
    const answer = await (isRepeatable ? this.#ask(submit) : this.#askOnce(submit));
    if (answer !== undefined) {
      this.#world.oracle.onAcknowledged(spec, answer.jobId);
      this.#jobIds.set(job.number, answer.jobId);
    }
    this.#settle(job.number);
    if (answer === undefined) return;
    for (const operation of job.operations) await this.#operate(answer.jobId, operation);
  }

  async #operate(jobId: number, operation: PlannedOperation): Promise<void> {
    await this.#sleep(operation.delayMs);
    const text = `${operation.kind} job_${jobId}`;
    switch (operation.kind) {
      case 'cancel_job':
        await this.#ask({ jobId, text, serve: (server) => server.cancel(jobId, undefined) });
        break;
      case 'cancel_task': {
        const { position } = operation;
        await this.#ask({ jobId, text, serve: (server) => server.cancel(jobId, position) });
        break;
      }
      case 'retry': {
        const { states } = operation;
        await this.#ask({ jobId, text, serve: (server) => server.retry(jobId, states) });
        break;
      }
    }
  }

  #setQueue(name: string, settings: QueueSettings): Promise<unknown> {
    const text = `set queue ${name}`;
    return this.#ask({ jobId: 0, text, serve: (server) => server.setQueue(name, settings) });
  }

  #run(act: () => Promise<void>): void {
    this.#openCount += 1;
    void act().then(
      () => (this.#openCount -= 1),
      (error: Error) => this.#world.oracle.fail('simulator', '', String(error.stack)),
    );
  }

  /** Resolves when it is known whether a planned job was acknowledged. */
  async #acknowledgement(number: number): Promise<boolean> {
    if (!this.#settled.has(number)) {
      await new Promise<void>((resolve) => {
        this.#waiting.set(number, [...(this.#waiting.get(number) ?? []), resolve]);
      });
    }
    return this.#jobIds.has(number);
  }

  #settle(number: number): void {
    this.#settled.add(number);
    for (const resolve of this.#waiting.get(number) ?? []) resolve();
    this.#waiting.delete(number);
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#world.time.schedule(delayMs, resolve));
  }

  /** Again and again; nothing when the answer is a refusal that asking again does not change. */
  async #ask<T>(question: Question<T>): Promise<T | undefined> {
    for (;;) {
      const answer = await this.#send(question);
      if (answer !== 'none' && (answer.ok || isFinal(answer.error))) {
        return answer.ok ? answer.value : undefined;
      }
      await this.#sleep(this.#random.exponential(PAUSE_MS_MEAN));
    }
  }

  async #askOnce<T>(question: Question<T>): Promise<T | undefined> {
    const answer = await this.#send(question);
    return answer !== 'none' && answer.ok ? answer.value : undefined;
  }

  #send<T>({ jobId, text, serve }: Question<T>): Promise<Answer<T> | 'none'> {
    return new Promise((resolve) => {
      this.#network.request<T>(this.#link, { jobId, text, serve, onAnswer: resolve });
      this.#world.time.schedule(PATIENCE_MS, () => resolve('none'));
    });
  }
}
