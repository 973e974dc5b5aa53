import { Readable } from 'node:stream';
import type { RunDetail, WorkflowInput } from '@majorana/protocol';
import { expect } from 'vitest';
import { TestServer } from '../api/test-server.ts';

const DEADLINE_MS = 20_000;

export type Program = (
  argv: readonly string[],
  inputs: ReadonlyMap<string, string>,
) => Made | undefined;
/** What a task stores, or how it fails. */
export interface Made {
  readonly exitCode?: number;
  readonly files?: Readonly<Record<string, string>>;
}

/** An exchange with nothing to write is over at once: the server must get its turn. */
const breathe = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

const outcomeOf = (end: number | 'cancelled'): object => {
  if (end === 'cancelled') return { kind: 'cancelled', reason: 'cancelled' };
  const kind = end === 0 ? 'succeeded' : 'exit_code';
  return { kind, exitCode: end, reason: `exit code ${end}` };
};
const endedEvent = (attemptId: string, end: number | 'cancelled', artifacts: object[]): never =>
  ({
    kind: 'ended',
    attemptId,
    outcome: outcomeOf(end),
    startedAtMs: 1,
    atMs: 2,
    peakMemoryBytes: 1,
    cpuTimeMs: 1,
    artifacts,
  }) as never;

/** A server whose workflows are run by an agent that plays their programs. */
export class TestRuns implements AsyncDisposable {
  readonly server: TestServer;

  private constructor(server: TestServer) {
    this.server = server;
  }

  static async start(): Promise<TestRuns> {
    return new TestRuns(await TestServer.start());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }

  async textOf(object: string): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of await this.server.objects.read(object)) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  }

  async putText(text: string): Promise<string> {
    return (await this.server.objects.putStream(Readable.from([Buffer.from(text)]))).object;
  }

  /**
   * An agent that plays the program; answers what it ran, argument vectors joined. A program that
   * makes nothing goes on until it is told to end; `whenStill` is called once, when nothing moves.
   */
  async play(
    id: string,
    program: Program,
    whenStill: () => Promise<unknown> = async () => undefined,
  ): Promise<string[]> {
    const ran: string[] = [];
    const held = new Set<string>();
    let ended: never[] = [];
    let isStill = false;
    const deadlineMs = Date.now() + DEADLINE_MS;
    while (Date.now() < deadlineMs) {
      const orders = await this.server.sync({ events: ended, heldAttemptIds: [...held] });
      ended = [];
      for (const lease of orders.leases) {
        if (held.has(lease.attemptId)) continue;
        ran.push(lease.argv.join(' '));
        const inputs = new Map<string, string>();
        for (const { path, object } of lease.inputs) inputs.set(path, await this.textOf(object));
        const made = program(lease.argv, inputs);
        if (made === undefined) held.add(lease.attemptId);
        else
          ended.push(endedEvent(lease.attemptId, made.exitCode ?? 0, await this.#storeAll(made)));
      }
      for (const attemptId of orders.endAttemptIds) {
        held.delete(attemptId);
        ended.push(endedEvent(attemptId, 'cancelled', []));
      }
      if (ended.length > 0) continue;
      if ((await this.detail(id)).endedAtMs !== null) return ran;
      if (held.size > 0 && !isStill) {
        isStill = true;
        await whenStill();
      }
      await breathe();
    }
    const where = JSON.stringify(await this.statuses(id));
    throw new Error(`${id} did not end; it ran ${ran.join(', ')}: ${where}`);
  }

  async #storeAll({ files = {} }: Made): Promise<object[]> {
    const artifacts = [];
    for (const [path, text] of Object.entries(files)) {
      const object = await this.putText(text);
      artifacts.push({ role: 'output', path, object, sizeBytes: text.length });
    }
    return artifacts;
  }

  async detail(id: string): Promise<RunDetail> {
    return (await this.server.call('GET', `/runs/${id}`)).body;
  }

  async submit(definition: WorkflowInput, inputs: object = {}): Promise<string> {
    const { status, body } = await this.server.call('POST', '/runs', { definition, inputs });
    expect(body).toHaveProperty('id');
    expect(status).toBe(201);
    return (body as { id: string }).id;
  }

  async statuses(id: string): Promise<Record<string, string>> {
    return Object.fromEntries((await this.lastSteps(id)).map(({ path, status }) => [path, status]));
  }

  async lastSteps(id: string): Promise<RunDetail['rounds'][number]['steps']> {
    return (await this.detail(id)).rounds.at(-1)!.steps;
  }
}

export const lines = (count: number): string =>
  Array.from({ length: count }, (_, at) => `line${at}`).join('\n');

/** Makes lines, runs one element for each, and gathers what they stored. */
export const fanOut = (edit: object = {}, version = '1'): WorkflowInput => ({
  name: 'fan',
  inputs: { count: { default: '5' } },
  steps: {
    list: { argv: ['list', '{count}'], outputs: ['lines.txt'] },
    work: {
      argv: ['work', version, '{line}'],
      each: { kind: 'lines', from: 'list/lines.txt' },
      outputs: ['out-{index}.txt'],
      ...edit,
    },
    gather: { argv: ['gather'], inputs: [{ path: 'all', from: 'work' }], outputs: ['sum.txt'] },
  },
  outputs: { sum: 'gather/sum.txt' },
});

export const fanProgram =
  (fails: (line: string) => boolean = () => false): Program =>
  ([program, first, line = ''], inputs) => {
    if (program === 'list') return { files: { 'lines.txt': lines(Number(first)) } };
    if (program === 'gather')
      return { files: { 'sum.txt': [...inputs.keys()].toSorted().join('\n') } };
    if (fails(line)) return { exitCode: 3 };
    return { files: { [`out-${line.slice(4)}.txt`]: `${first} ${line}` } };
  };

/** Each iteration searches from what is known, until nothing new comes. */
export const search = (iterationsMax: number): WorkflowInput => ({
  name: 'search',
  inputs: { start: { kind: 'file' } },
  steps: {
    rounds: {
      with: { known: 'start', label: 'from {{start}}' },
      workflow: {
        inputs: { known: { kind: 'file' }, label: {} },
        steps: {
          look: {
            argv: ['look', '{iteration}', '{label}'],
            inputs: [{ path: 'known', from: 'known' }],
            outputs: ['known.txt', 'new.txt'],
          },
        },
        outputs: { all: 'look/known.txt' },
      },
      repeat: {
        until: { kind: 'lines', from: 'look/new.txt', equals: 0 },
        iterationsMax,
        carry: { known: 'look/known.txt' },
      },
    },
    report: { argv: ['report'], inputs: [{ path: 'all', from: 'rounds/all' }], outputs: ['r.txt'] },
  },
  outputs: { report: 'report/r.txt' },
});
