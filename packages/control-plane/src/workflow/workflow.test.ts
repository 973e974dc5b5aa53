import type { RunDetail, WorkflowInput } from '@majorana/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestServer } from '../api/test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

type Program = (argv: readonly string[], inputs: ReadonlyMap<string, string>) => Made | undefined;
/** What a task stores, or how it fails. */
interface Made {
  readonly exitCode?: number;
  readonly files?: Readonly<Record<string, string>>;
}

async function textOf(object: string): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of await server.objects.read(object)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const putText = async (text: string): Promise<string> => {
  const { Readable } = await import('node:stream');
  return (await server.objects.putStream(Readable.from([Buffer.from(text)]))).object;
};

/** An agent that plays the program; answers what it ran, argument vectors joined. */
async function play(id: string, program: Program): Promise<string[]> {
  const ran: string[] = [];
  let ended: never[] = [];
  for (;;) {
    const orders = await server.sync({ events: ended });
    ended = [];
    for (const lease of orders.leases) {
      ran.push(lease.argv.join(' '));
      const inputs = new Map<string, string>();
      for (const { path, object } of lease.inputs) inputs.set(path, await textOf(object));
      const made = program(lease.argv, inputs) ?? {};
      const artifacts = [];
      for (const [path, text] of Object.entries(made.files ?? {})) {
        const object = await putText(text);
        artifacts.push({ role: 'output', path, object, sizeBytes: text.length });
      }
      ended.push(endedEvent(lease.attemptId, made.exitCode ?? 0, artifacts));
    }
    if (ended.length > 0) continue;
    const { endedAtMs } = await detail(id);
    if (endedAtMs !== null) return ran;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const endedEvent = (attemptId: string, exitCode: number, artifacts: object[]): never =>
  ({
    kind: 'ended',
    attemptId,
    outcome:
      exitCode === 0
        ? { kind: 'succeeded', exitCode, reason: 'exit code 0' }
        : { kind: 'exit_code', exitCode, reason: `exit code ${exitCode}` },
    startedAtMs: 1,
    atMs: 2,
    peakMemoryBytes: 1,
    cpuTimeMs: 1,
    artifacts,
  }) as never;

const detail = async (id: string): Promise<RunDetail> =>
  (await server.call('GET', `/runs/${id}`)).body;

async function submit(definition: WorkflowInput, inputs: object = {}): Promise<string> {
  const { status, body } = await server.call('POST', '/runs', { definition, inputs });
  expect(body).toHaveProperty('id');
  expect(status).toBe(201);
  return (body as { id: string }).id;
}

const statuses = async (id: string): Promise<Record<string, string>> => {
  const { rounds } = await detail(id);
  return Object.fromEntries(rounds.at(-1)!.steps.map(({ path, status }) => [path, status]));
};

test('two steps bound by a file run one after the other, and the second gets the file', async () => {
  const id = await submit({
    name: 'linear',
    steps: {
      make: { argv: ['make'], outputs: ['a.txt'] },
      read: {
        argv: ['read'],
        inputs: [{ path: 'in.txt', from: 'make/a.txt' }],
        outputs: ['b.txt'],
      },
    },
    outputs: { result: 'read/b.txt' },
  });
  const ran = await play(id, ([program], inputs) => ({
    files: program === 'make' ? { 'a.txt': 'made' } : { 'b.txt': `read ${inputs.get('in.txt')}` },
  }));
  expect(ran).toEqual(['make', 'read']);
  expect(await statuses(id)).toEqual({ make: 'succeeded', read: 'succeeded' });
  const { files } = (await server.call('GET', `/runs/${id}/files`)).body as {
    files: { path: string; object: string }[];
  };
  expect(files.map(({ path }) => path)).toEqual(['result/b.txt']);
  expect(await textOf(files[0]!.object)).toBe('read made');
});
