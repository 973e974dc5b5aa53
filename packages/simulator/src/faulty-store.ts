import type {
  ArtifactRecord,
  BulkMove,
  BulkResult,
  Change,
  ElementMove,
  EngineStore,
  HotSet,
  JobRecord,
  TaskRecord,
} from '@majorana/store';
import type { CallKind, Caller } from './outside-calls.ts';
import { OutsideCalls } from './outside-calls.ts';
import type { World } from './world.ts';

const kind = (name: string, meanMs: number): CallKind => ({
  name: `store.${name}`,
  meanMs,
  failBefore: 'storeFailBefore',
  failAfter: 'storeFailAfter',
  slow: 'storeSlow',
  outlivesCaller: true,
});
/** A dead process does not become the writer: its session waits for the lock until it is closed. */
const LOAD = { ...kind('load', 20), outlivesCaller: false };
const COMMIT = kind('commit', 3);
const MOVE = kind('move', 10);
/** Through the writer's session, so after what was asked before. */
const QUERY = kind('query', 2);
/** Through any other connection. */
const READ = kind('read', 2);
const TRANSACTIONS: readonly CallKind[] = [COMMIT, MOVE];
/** A refused connection is known at once, one into nowhere when the driver gives up. */
const REFUSED_MS = 1;
const UNANSWERED_MS = 15_000;

/** Times in which no call reaches the database. */
export class StoreOutage {
  untilMs = 0;
  isSilent = false;
}

/** A store over a network: slow, failing, away for a while, and still at work for a dead client. */
export class FaultyStore implements EngineStore {
  readonly #store: EngineStore;
  readonly #world: World;
  readonly #outage: StoreOutage;
  readonly #life: Caller['life'];
  readonly #calls: OutsideCalls;
  #isWriting = false;

  constructor(store: EngineStore, world: World, caller: Caller, outage: StoreOutage) {
    this.#store = store;
    this.#world = world;
    this.#outage = outage;
    this.#life = caller.life;
    this.#calls = new OutsideCalls(world, caller, world.random.stream(`store/${caller.name}`));
  }

  load(queuedMax: number): Promise<HotSet> {
    return this.#call(LOAD, 0, '', () => this.#store.load(queuedMax));
  }

  commit(change: Change): Promise<void> {
    const text = `${change.jobs.length} jobs, ${change.tasks.length} tasks, ${change.transitions.length} transitions`;
    return this.#call(COMMIT, 0, text, () => this.#store.commit(change));
  }

  allocateJobId(): Promise<number> {
    return this.#call(READ, 0, 'job number', () => this.#store.allocateJobId());
  }

  findJobByKey(project: string, idempotencyKey: string): Promise<number | undefined> {
    return this.#call(READ, 0, idempotencyKey, () =>
      this.#store.findJobByKey(project, idempotencyKey),
    );
  }

  loadJob(jobId: number): Promise<JobRecord | undefined> {
    return this.#call(READ, jobId, `job_${jobId}`, () => this.#store.loadJob(jobId));
  }

  loadQueuedTasks(jobId: number, limit: number): Promise<TaskRecord[]> {
    return this.#call(QUERY, jobId, `queued of job_${jobId}`, () =>
      this.#store.loadQueuedTasks(jobId, limit),
    );
  }

  moveTasks(move: BulkMove): Promise<BulkResult> {
    const text = `job_${move.jobId} ${move.from.join('+')} to ${move.to}`;
    return this.#call(MOVE, move.jobId, text, () => this.#store.moveTasks(move));
  }

  moveElements(move: ElementMove): Promise<BulkResult> {
    const text = `elements of job_${move.jobId} after job_${move.upstreamJobId}`;
    return this.#call(MOVE, move.jobId, text, () => this.#store.moveElements(move));
  }

  loadRowsAhead(jobId: number, fromPosition: number): Promise<number[]> {
    return this.#call(QUERY, jobId, `rows of job_${jobId}`, () =>
      this.#store.loadRowsAhead(jobId, fromPosition),
    );
  }

  loadOutputs(jobId: number): Promise<ArtifactRecord[]> {
    return this.#call(READ, jobId, `outputs of job_${jobId}`, () => this.#store.loadOutputs(jobId));
  }

  loadFields(parameterSetId: number, position: number): Promise<Record<string, string>> {
    return this.#call(READ, 0, `fields of ${parameterSetId}.${position}`, () =>
      this.#store.loadFields(parameterSetId, position),
    );
  }

  #call<T>(call: CallKind, jobId: number, text: string, act: () => Promise<T>): Promise<T> {
    const { oracle } = this.#world;
    if (TRANSACTIONS.includes(call)) {
      // On one session their statements would mix.
      if (this.#isWriting)
        oracle.fail('session', '', `two transactions at once: ${call.name} ${text}`);
      this.#isWriting = true;
      const end = (): void => {
        this.#isWriting = false;
      };
      const done = this.#send(call, jobId, text, act);
      done.then(end, end);
      return done;
    }
    return this.#send(call, jobId, text, act);
  }

  #send<T>(call: CallKind, jobId: number, text: string, act: () => Promise<T>): Promise<T> {
    const { time, trace } = this.#world;
    if (time.nowMs < this.#outage.untilMs) {
      trace.add('fault.store_away', jobId, `${call.name} ${text}`);
      const delayMs = this.#outage.isSilent ? UNANSWERED_MS : REFUSED_MS;
      return new Promise((_resolve, reject) => {
        this.#life.later(delayMs, () => reject(new Error('simulated: the database is away')));
      });
    }
    const isQueued = call !== READ;
    return this.#calls.call(call, { jobId, text, isQueued }, async () => {
      const value = await act();
      trace.add(call.name, jobId, text);
      return value;
    });
  }
}
