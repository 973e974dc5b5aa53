import { createHash } from 'node:crypto';
import { readdir, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import type { ObjectStore } from '@majorana/objects';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestServer } from './api/test-server.ts';
import { RetentionLoop } from './retention-loop.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const KEEP_DAYS = 30;
const FAR_DAYS = 2 * KEEP_DAYS;
const log = pino({ level: 'silent' });

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

type Attempt = { readonly attemptId: string; readonly written: { path: string; object: string }[] };
type StepKind = (typeof STEPS)[number];
interface Step {
  readonly kind: StepKind;
  /** Which attempt, which content. */
  readonly pick: number;
  readonly hours: number;
}
/** Named more often than others what a story of loss needs: time, and sweeps. */
const STEPS = [
  'submit',
  'lease',
  'lease',
  'put',
  'put',
  'put',
  'end',
  'fail',
  'keepResult',
  'parameterSet',
  'upload',
  'pass',
  'pass',
  'sweep',
  'sweep',
] as const;
const step = fc.record<Step>({
  kind: fc.constantFrom(...STEPS),
  pick: fc.nat(1000),
  hours: fc.constantFrom(1, 20, 30, 100, 40 * 24),
});

/** Time passes by everything becoming older: the code under test reads the clock as it is. */
async function pass(ms: number): Promise<void> {
  const { pool } = server.store;
  await pool.query('update job set ended_at_ms = ended_at_ms - $1::bigint', [ms]);
  await pool.query('update attempt set leased_at_ms = leased_at_ms - $1::bigint', [ms]);
  await pool.query('update result_block set used_at_ms = used_at_ms - $1::bigint', [ms]);
  await pool.query(
    `update parameter_set set created_at = created_at - $1 * interval '1 millisecond'`,
    [ms],
  );
  for await (const { object, usedAtMs } of server.objects.list()) {
    const at = (usedAtMs - ms) / 1000;
    await utimes(server.objects.pathOf(object), at, at);
  }
  for (const name of await readdir(server.uploads).catch(() => [])) {
    const file = path.join(server.uploads, name);
    const at = ((await stat(file)).mtimeMs - ms) / 1000;
    await utimes(file, at, at);
  }
}

/** Everybody who works while the collector does, and what must not be taken from them. */
class World {
  readonly #steps: Iterator<Step>;
  readonly #attempts: Attempt[] = [];
  /** Of ended attempts, until time has passed that makes their jobs old. */
  #named = new Set<string>();
  #results = 0;
  #sets = 0;

  constructor(steps: readonly Step[]) {
    this.#steps = steps.values();
  }

  async run(): Promise<void> {
    for (let next = this.#steps.next(); next.done !== true; next = this.#steps.next()) {
      await this.act(next.value);
      await this.check();
    }
  }

  async #put(what: string, pick: number): Promise<string> {
    // Few contents: most are put again and again, at all ages.
    const content = Buffer.from(`${what} ${pick % 5}`);
    return (await server.objects.putStream(Readable.from([content]))).object;
  }

  async #lease(): Promise<void> {
    const { leases } = await server.sync({
      heldAttemptIds: this.#attempts.map(({ attemptId }) => attemptId),
    });
    for (const { attemptId, inputs } of leases) {
      if (this.#attempts.some((one) => one.attemptId === attemptId)) continue;
      this.#attempts.push({ attemptId, written: [] });
      for (const { object } of inputs) expect(await server.objects.has(object)).toBe(true);
    }
  }

  async #end(pick: number, isWell: boolean): Promise<void> {
    const [attempt] = this.#attempts.splice(pick % Math.max(1, this.#attempts.length), 1);
    if (attempt === undefined) return;
    const { attemptId, written } = attempt;
    const artifacts = isWell
      ? written.map((one) => ({ ...one, role: 'output' as const, sizeBytes: 1 }))
      : [];
    const outcome = isWell
      ? { kind: 'succeeded' as const, exitCode: 0, reason: 'exit code 0' }
      : { kind: 'exit_code' as const, exitCode: 1, reason: 'exit code 1' };
    const used = { peakMemoryBytes: 0, cpuTimeMs: 0 };
    await server.sync({
      events: [{ kind: 'ended', attemptId, atMs: 1, outcome, artifacts, ...used }],
    });
    for (const { object } of artifacts) this.#named.add(object);
  }

  async act({ kind, pick, hours }: Step): Promise<void> {
    if (kind === 'submit') {
      const object = await this.#put('input', pick);
      const spec = { argv: ['true'], outputs: ['*'], inputs: [{ path: 'in', object }] };
      expect((await server.call('POST', '/jobs', spec)).status).toBe(201);
    } else if (kind === 'lease') await this.#lease();
    else if (kind === 'put') {
      const attempt = this.#attempts[pick % Math.max(1, this.#attempts.length)];
      const object = await this.#put('output', pick);
      attempt?.written.push({ path: `${attempt.written.length}`, object });
    } else if (kind === 'end' || kind === 'fail') await this.#end(pick, kind === 'end');
    else if (kind === 'keepResult') await this.#keepResult(await this.#put('result', pick));
    else if (kind === 'parameterSet') {
      const line = JSON.stringify({
        number: (this.#sets += 1),
        file: await this.#put('record', pick),
      });
      await server.call('POST', '/parameter-sets', `${line}\n`);
    } else if (kind === 'upload') await this.#upload(pick);
    else if (kind === 'pass') await this.#pass(hours * HOUR_MS);
    else await this.#sweep();
  }

  /** As a workflow does with what a step has stored. */
  async #keepResult(object: string): Promise<void> {
    await server.store.pool.query(
      `with block as (
         insert into result_block (project, instance_id, first_position, step_name, positions, paths,
           objects, sizes, created_at_ms, used_at_ms)
         values ('default', $1, 0, 'step', '{0}', '{out}', array[$2::text], '{1}', $3, $3))
       insert into step_result (key, project, instance_id, position)
       values (sha256($4), 'default', $1, 0)`,
      [(this.#results += 1), object, Date.now(), Buffer.from(`key ${this.#results}`)],
    );
  }

  /** One piece at a time, with whatever happens until the next. */
  async #upload(pick: number): Promise<void> {
    const { uploads } = server.parts;
    const content = Buffer.from(`upload ${pick % 5}`);
    const size = content.length;
    const object = createHash('sha256').update(content).digest('hex');
    const name = { user: 'test', object };
    const { offsetBytes: offset, isStored } = await uploads.state(name);
    const piece = content.subarray(offset, offset === 0 ? 3 : size);
    if (!isStored) await uploads.append(name, { offset, size }, Readable.from([piece]));
    if (isStored || offset > 0) expect(await server.objects.has(object)).toBe(true);
  }

  async #pass(ms: number): Promise<void> {
    await pass(ms);
    if (ms > DAY_MS * KEEP_DAYS) this.#named = new Set();
  }

  /** The next steps happen in the middle of the round: before each thing it does. */
  async #sweep(): Promise<void> {
    const act = async (): Promise<void> => {
      const next = this.#steps.next();
      if (next.done === true || next.value.kind === 'pass' || next.value.kind === 'sweep') return;
      await this.act(next.value);
    };
    // Removals run beside one another; what happens meanwhile is one story.
    let story = Promise.resolve();
    const meanwhile = (): Promise<void> => (story = story.then(act));
    const { retention, uploads } = server.parts;
    const watched = new Proxy(retention, {
      get: (target, name: keyof typeof retention) => {
        const method = target[name] as (...args: unknown[]) => Promise<unknown>;
        if (name === 'usedObjects') {
          return async function* () {
            await meanwhile();
            yield* target.usedObjects();
            await meanwhile();
          };
        }
        return async (...args: unknown[]) => {
          await meanwhile();
          return method.apply(target, args);
        };
      },
    });
    const objects: ObjectStore = Object.create(server.objects, {
      list: {
        value: async function* () {
          yield* server.objects.list();
          await meanwhile();
        },
      },
      remove: {
        value: async (object: string, usedBeforeMs: number) => {
          await meanwhile();
          return server.objects.remove(object, usedBeforeMs);
        },
      },
      removeLeftovers: { value: (ms: number) => server.objects.removeLeftovers(ms) },
    });
    const options = { retention: watched, objects, uploads, keepDays: KEEP_DAYS, log };
    await new RetentionLoop(options).round(Date.now());
  }

  /** Whatever an open attempt has put, and whatever is named, is there. */
  async check(): Promise<void> {
    const needed = new Set(this.#named);
    for (const { written } of this.#attempts) for (const { object } of written) needed.add(object);
    for await (const some of server.parts.retention.usedObjects())
      for (const object of some) needed.add(object);
    for (const object of needed) expect(await server.objects.has(object), object).toBe(true);
  }

  /** Everything ends and becomes old; then nothing is left. */
  async end(): Promise<void> {
    for (let round = 0; round < 100; round += 1) {
      await this.#lease();
      if (this.#attempts.length === 0) break;
      while (this.#attempts.length > 0) await this.#end(0, true);
    }
    await this.check();
    await pass(FAR_DAYS * DAY_MS);
    await this.#sweep();
    await pass(FAR_DAYS * DAY_MS);
    await this.#sweep();
    const left: string[] = [];
    for await (const { object } of server.objects.list()) left.push(object);
    expect(left).toEqual([]);
    expect(await readdir(server.uploads).catch(() => [])).toEqual([]);
  }
}

test('whatever happens meanwhile, no object is taken that a running attempt or a record needs; in the end all else is', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }),
      async (steps) => {
        const world = new World(steps);
        await world.run();
        await world.end();
      },
    ),
    { seed: 1, numRuns: 30, endOnFailure: true },
  );
});

test('what an attempt put more than a day ago is there when it ends', async () => {
  const world = new World([]);
  const steps = ['submit', 'lease', 'put', 'pass', 'sweep', 'end', 'sweep'] as const;
  for (const kind of steps) {
    await world.act({ kind, pick: 3, hours: 100 });
    await world.check();
  }
  await world.end();
});
