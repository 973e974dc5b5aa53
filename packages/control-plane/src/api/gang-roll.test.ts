import type { RunnerGangAnswer } from '@majorana/protocol';
import { TestClock } from '@majorana/testing/test-clock';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GangRoll } from './gang-roll.ts';

/** Lets everything that waits for no timer of the clock run. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const WAIT_MS = 25_000;
const ATTEMPT = 'job_7.0.1';
const addressOf = (nodeRank: number): string => `10.0.0.${nodeRank}:4000`;

/** Runners of gangs, each with its requests and what they were answered. */
class Runners {
  readonly clock = new TestClock();
  readonly roll = new GangRoll(this.clock);

  /** The answers of one request as they come: none, or one. */
  async ask(
    nodeRank: number,
    nodes: number,
    edit: { readonly attemptId?: string; readonly address?: string } = {},
  ): Promise<RunnerGangAnswer[]> {
    const { attemptId = ATTEMPT, address = addressOf(nodeRank) } = edit;
    const answers: RunnerGangAnswer[] = [];
    const news = { nodeRank, waitMs: WAIT_MS, ...(nodeRank > 0 && { address }) };
    void this.roll.meet(attemptId, nodes, news).then((answer) => answers.push(answer));
    await settle();
    return answers;
  }
}

test('a head is answered when the last worker has said where it listens', async () => {
  const runners = new Runners();
  const head = await runners.ask(0, 3);
  const second = await runners.ask(2, 3);
  expect(head).toEqual([]);
  const first = await runners.ask(1, 3);
  expect(head).toEqual([{ addresses: ['', addressOf(1), addressOf(2)] }]);
  expect([first, second]).toEqual([[], []]);
});

test('a head that comes last is answered at once', async () => {
  const runners = new Runners();
  await runners.ask(1, 2);
  expect(await runners.ask(0, 2)).toEqual([{ addresses: ['', addressOf(1)] }]);
});

test('a gang of one node has nobody to wait for', async () => {
  expect(await new Runners().ask(0, 1)).toEqual([{ addresses: [''] }]);
});

test('who waits in vain is answered with nothing, and asks again', async () => {
  const runners = new Runners();
  const head = await runners.ask(0, 2);
  runners.clock.pass(WAIT_MS);
  await settle();
  expect(head).toEqual([{}]);
  const again = await runners.ask(0, 2);
  await runners.ask(1, 2);
  expect(again).toEqual([{ addresses: ['', addressOf(1)] }]);
});

test('an answer that was lost is given again to the head that asks again', async () => {
  const runners = new Runners();
  await runners.ask(1, 2);
  const answer = [{ addresses: ['', addressOf(1)] }];
  expect(await runners.ask(0, 2)).toEqual(answer);
  expect(await runners.ask(0, 2)).toEqual(answer);
});

test('what a worker said last counts', async () => {
  const runners = new Runners();
  const given = await runners.ask(1, 2, { address: '10.0.0.9:1' });
  await runners.ask(1, 2, { address: '10.0.0.9:2' });
  expect(given).toEqual([{}]);
  expect(await runners.ask(0, 2)).toEqual([{ addresses: ['', '10.0.0.9:2'] }]);
});

test('nothing is kept of a gang of which nobody asks any more', async () => {
  const runners = new Runners();
  await runners.ask(1, 2);
  runners.clock.pass(WAIT_MS);
  await settle();
  const head = await runners.ask(0, 2);
  expect(head).toEqual([]);
  await runners.ask(1, 2);
  expect(head).toHaveLength(1);
});

test('gangs do not hear of each other', async () => {
  const runners = new Runners();
  const head = await runners.ask(0, 2);
  await runners.ask(1, 2, { attemptId: 'job_7.0.2' });
  expect(head).toEqual([]);
  await runners.ask(1, 2);
  expect(head).toHaveLength(1);
});

test('a control plane that stops answers everybody', async () => {
  const runners = new Runners();
  const answers = [await runners.ask(0, 3), await runners.ask(1, 3)];
  runners.roll.stop();
  await settle();
  expect(answers).toEqual([[{}], [{}]]);
});

test('in whatever order runners ask, a head knows all exactly when all have spoken', async () => {
  const order = fc.integer({ min: 1, max: 5 }).chain((nodes) =>
    fc.record({
      nodes: fc.constant(nodes),
      ranks: fc.array(fc.nat(nodes - 1), { maxLength: 15 }),
    }),
  );
  await fc.assert(
    fc.asyncProperty(order, async ({ nodes, ranks }) => {
      const runners = new Runners();
      const spoken = new Set<number>();
      for (const nodeRank of ranks) {
        await runners.ask(nodeRank, nodes);
        if (nodeRank > 0) spoken.add(nodeRank);
        const [answer] = await runners.ask(0, nodes);
        const addresses = Array.from({ length: nodes }, (_, rank) => rank && addressOf(rank));
        const all = { addresses: addresses.map((one) => one || '') };
        expect(answer).toEqual(spoken.size === nodes - 1 ? all : undefined);
      }
    }),
  );
});
