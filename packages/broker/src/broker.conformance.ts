import { randomBytes } from 'node:crypto';
import { DEFAULT_RESOURCES } from '@majorana/core';
import type { AgentOrders, AgentSync, Lease } from '@majorana/protocol';
import { until } from '@majorana/testing';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { AnswerSync, Exchange } from './ports.ts';

/** Something between agents and control planes. The agents' names are those of `AGENTS`. */
export interface BrokerBench extends AsyncDisposable {
  /** A control plane that serves when this resolves, until it is disposed of. */
  serve(answer: AnswerSync): Promise<AsyncDisposable>;
  /** An agent of its own with each call. */
  exchangeOf(agentId: string): Exchange;
  /** An agent whose credentials are not known. */
  readonly stranger?: Exchange;
  /** Whether credentials are those of one agent, which cannot speak as another. */
  readonly namesAgents: boolean;
  /** A broker that is a process of its own: kills it, and answers how it is started again. */
  readonly kill?: () => Promise<() => Promise<void>>;
}

export const AGENTS = Array.from({ length: 50 }, (_, at) => `agent-${at}.example.org`);
const [ANN, BOB] = AGENTS as [string, string];
const HELD = 24_000;

export const sync = (agentId: string, edit: Partial<AgentSync> = {}): AgentSync => ({
  agentId,
  capacity: DEFAULT_RESOURCES,
  heldAttemptIds: [],
  events: [],
  logChunks: [],
  waitMs: 0,
  ...edit,
});

export const orders = (edit: Partial<AgentOrders> = {}): AgentOrders => ({
  leases: [],
  endAttemptIds: [],
  forgetAttemptIds: [],
  wantsHeldAttemptIds: false,
  logRequests: [],
  ...edit,
});

/** Orders by which a sync is known again. */
const echo: AnswerSync = async ({ agentId, heldAttemptIds = [] }) =>
  orders({ endAttemptIds: [agentId, ...heldAttemptIds] });

const lease = (index: number): Lease => ({
  attemptId: `job_42.${index}.1`,
  jobName: 'crystals',
  argv: ['python', 'relax.py', '--seed', String(index)],
  env: { OMP_NUM_THREADS: '1' },
  inputs: [{ path: 'molecule.xyz', object: randomBytes(32).toString('hex') }],
  outputs: ['*.cif'],
  resources: DEFAULT_RESOURCES,
  timeLimitMs: 0,
  graceMs: 30_000,
  taskCount: HELD,
});

const patiently = (): AbortSignal => AbortSignal.timeout(60_000);

export function describeBroker(start: () => Promise<BrokerBench>): void {
  let broker: BrokerBench;
  let serving: AsyncDisposable[] = [];
  const serve = async (answer: AnswerSync): Promise<AsyncDisposable> => {
    const one = await broker.serve(answer);
    serving.push(one);
    return one;
  };
  /** Until it is answered, as agents do. */
  const untilAnswered = async (exchange: Exchange, said: AgentSync): Promise<AgentOrders> => {
    let answer: AgentOrders | undefined;
    await until('an answer', async () => {
      answer = await exchange(said, patiently()).catch(() => undefined);
      return answer !== undefined;
    });
    return answer!;
  };
  beforeAll(async () => {
    broker = await start();
  });
  afterEach(async () => {
    for (const one of serving) await one[Symbol.asyncDispose]();
    serving = [];
  });
  afterAll(() => broker[Symbol.asyncDispose]());

  test('what an agent says arrives as it is, and so does the answer', async () => {
    const heard: AgentSync[] = [];
    await serve(async (said) => {
      heard.push(said);
      return orders({ leases: [lease(7)], wantsHeldAttemptIds: true });
    });
    const exchange = broker.exchangeOf(ANN);
    const text = fc.string({ unit: 'grapheme', maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(text, async (reason) => {
        const outcome = { kind: 'exit_code', exitCode: 1, reason } as const;
        const ended = { kind: 'ended', attemptId: 'job_1.2.3', atMs: 5, outcome } as const;
        const events = [{ ...ended, peakMemoryBytes: 1, cpuTimeMs: 2, artifacts: [] }];
        const answer = await exchange(sync(ANN, { events }), patiently());
        expect(heard.at(-1)).toEqual(sync(ANN, { events }));
        expect(answer.leases[0]!.argv).toEqual(lease(7).argv);
      }),
      { numRuns: 20 },
    );
  });

  test('an answer is held until there is one, and each exchange hears its own', async () => {
    const held = new Map<string, () => void>();
    await serve(async (said) => {
      await new Promise<void>((resolve) => held.set(said.heldAttemptIds![0]!, resolve));
      return echo(said);
    });
    const exchange = broker.exchangeOf(ANN);
    const ids = ['job_1.0.1', 'job_2.0.1', 'job_3.0.1'];
    const answered: string[] = [];
    const answers = ids.map(async (id) => {
      const { endAttemptIds } = await exchange(sync(ANN, { heldAttemptIds: [id] }), patiently());
      answered.push(endAttemptIds[1]!);
    });
    await until('all to be held', () => held.size === 3);
    expect(answered).toEqual([]);
    for (const id of ids.toReversed()) {
      held.get(id)!();
      await until(`the answer of ${id}`, () => answered.at(-1) === id);
    }
    await Promise.all(answers);
  });

  test('an exchange that is given up says why, and its late answer is nobody’s', async () => {
    const answers: (() => void)[] = [];
    await serve(async (said) => {
      await new Promise<void>((resolve) => answers.push(resolve));
      return echo(said);
    });
    const exchange = broker.exchangeOf(ANN);
    const abort = new AbortController();
    const first = exchange(sync(ANN, { heldAttemptIds: ['job_1.0.1'] }), abort.signal);
    await until('the first to be held', () => answers.length === 1);
    abort.abort(new Error('there is news'));
    await expect(first).rejects.toThrow('there is news');
    const second = exchange(sync(ANN, { heldAttemptIds: ['job_2.0.1'] }), patiently());
    await until('the second to be held', () => answers.length === 2);
    answers[0]!();
    answers[1]!();
    expect((await second).endAttemptIds).toEqual([ANN, 'job_2.0.1']);
    await expect(exchange(sync(ANN), AbortSignal.abort(new Error('before')))).rejects.toThrow(
      'before',
    );
  });

  test('a sync may come twice: the control plane hears both', async () => {
    let count = 0;
    await serve(async (said) => {
      count += 1;
      return echo(said);
    });
    const exchange = broker.exchangeOf(ANN);
    const said = sync(ANN, { heldAttemptIds: ['job_1.0.1'] });
    const both = [await exchange(said, patiently()), await exchange(said, patiently())];
    expect(both[0]).toEqual(both[1]);
    expect(count).toBe(2);
  });

  test('what the control plane refuses is told, and the next exchange is as any', async () => {
    let isRefusing = true;
    await serve(async (said) => {
      if (isRefusing) throw new Error('the engine is loading');
      return echo(said);
    });
    const exchange = broker.exchangeOf(ANN);
    await expect(exchange(sync(ANN), patiently())).rejects.toThrow();
    isRefusing = false;
    expect((await exchange(sync(ANN), patiently())).endAttemptIds).toEqual([ANN]);
  });

  test('what is no sync is refused, and does not reach the control plane', async () => {
    let count = 0;
    await serve(async (said) => {
      count += 1;
      return echo(said);
    });
    const exchange = broker.exchangeOf(ANN);
    await expect(exchange(sync(ANN, { waitMs: -1 }), patiently())).rejects.toThrow(/waitMs/);
    expect(count).toBe(0);
  });

  test('24,000 attempts are named, and as many leased, in one exchange', async () => {
    const leases = Array.from({ length: HELD }, (_, index) => lease(index));
    await serve(async ({ heldAttemptIds = [] }) =>
      orders({ leases, endAttemptIds: heldAttemptIds }),
    );
    const heldAttemptIds = leases.map(({ attemptId }) => attemptId);
    const answer = await broker.exchangeOf(ANN)(sync(ANN, { heldAttemptIds }), patiently());
    expect(answer.endAttemptIds).toEqual(heldAttemptIds);
    expect(answer.leases.at(-1)).toEqual(leases.at(-1));
  });

  test('10 MB that cannot be packed arrive', async () => {
    const logChunks = Array.from({ length: 4 }, (_, at) => ({
      requestId: String(at),
      dataBase64: randomBytes(2_000_000).toString('base64'),
    }));
    const heard: AgentSync[] = [];
    await serve(async (said) => {
      heard.push(said);
      return orders({ endAttemptIds: said.logChunks.map(({ dataBase64 }) => dataBase64) });
    });
    const answer = await broker.exchangeOf(ANN)(sync(ANN, { logChunks }), patiently());
    const sent = logChunks.map(({ dataBase64 }) => dataBase64);
    expect(heard[0]!.logChunks.every(({ dataBase64 }, at) => dataBase64 === sent[at])).toBe(true);
    expect(answer.endAttemptIds.every((text, at) => text === sent[at])).toBe(true);
  });

  test('fifty agents speak at once, and each hears its own answers', async () => {
    await serve(echo);
    const rounds = AGENTS.map(async (agentId, at) => {
      const exchange = broker.exchangeOf(agentId);
      for (let round = 0; round < 10; round += 1) {
        const heldAttemptIds = [`job_${at + 1}.${round}.1`];
        // Fifty handshakes at once are more than a busy server takes in time: agents ask again.
        const answer = await untilAnswered(exchange, sync(agentId, { heldAttemptIds }));
        expect(answer.endAttemptIds).toEqual([agentId, ...heldAttemptIds]);
      }
    });
    await Promise.all(rounds);
  });

  test('without a control plane an exchange fails; the next one that serves answers', async () => {
    const exchange = broker.exchangeOf(ANN);
    await expect(exchange(sync(ANN), patiently())).rejects.toThrow();
    const first = await serve(echo);
    await untilAnswered(exchange, sync(ANN));
    await first[Symbol.asyncDispose]();
    await expect(exchange(sync(ANN), patiently())).rejects.toThrow();
    await serve(async () => orders({ endAttemptIds: ['by the second'] }));
    const answer = await untilAnswered(exchange, sync(ANN));
    expect(answer.endAttemptIds).toEqual(['by the second']);
  });

  test('an exchange that its control plane leaves open does not hold up the next', async () => {
    let isHeld = false;
    const first = await serve(async () => {
      isHeld = true;
      return new Promise(() => undefined);
    });
    const exchange = broker.exchangeOf(ANN);
    const abort = new AbortController();
    const open = exchange(sync(ANN), abort.signal);
    open.catch(() => undefined);
    await until('the first to hold it', () => isHeld);
    await first[Symbol.asyncDispose]();
    await serve(echo);
    expect((await untilAnswered(exchange, sync(ANN))).endAttemptIds).toEqual([ANN]);
    abort.abort(new Error('given up'));
    await expect(open).rejects.toThrow();
  });

  test('who is not known is refused, and not heard', async ({ skip }) => {
    const { stranger } = broker;
    if (stranger === undefined) return skip('in one process there are no strangers');
    let count = 0;
    await serve(async (said) => {
      count += 1;
      return echo(said);
    });
    await expect(stranger(sync(ANN), patiently())).rejects.toThrow();
    await broker.exchangeOf(BOB)(sync(BOB), patiently());
    expect(count).toBe(1);
  });

  test('an agent cannot speak as another', async ({ skip }) => {
    if (!broker.namesAgents) return skip('it has no credentials');
    const heard: string[] = [];
    await serve(async (said) => {
      heard.push(said.agentId);
      return echo(said);
    });
    await expect(broker.exchangeOf(ANN)(sync(BOB), patiently())).rejects.toThrow();
    await broker.exchangeOf(BOB)(sync(BOB), patiently());
    expect(heard).toEqual([BOB]);
  });

  test('a broker that was killed and comes back is used again by both sides', async ({ skip }) => {
    if (broker.kill === undefined) return skip('there is no broker to kill');
    let isHeld = false;
    await serve(async (said) => {
      if (said.waitMs === 0) return echo(said);
      isHeld = true;
      return new Promise(() => undefined);
    });
    const exchange = broker.exchangeOf(ANN);
    const open = exchange(sync(ANN, { waitMs: 60_000 }), patiently());
    open.catch(() => undefined);
    await until('an exchange to be open', () => isHeld);
    const restart = await broker.kill();
    await expect(open).rejects.toThrow();
    await expect(exchange(sync(ANN), patiently())).rejects.toThrow();
    await restart();
    expect((await untilAnswered(exchange, sync(ANN))).endAttemptIds).toEqual([ANN]);
  });
}
