import { DEFAULT_RESOURCES, WINDOW_LIMITS } from '@majorana/core';
import type { Lease } from '@majorana/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Occupant } from '../engine/room.ts';
import { ClusterRoom, PLAN_MS } from './cluster-room.ts';
import { ClusterView } from './cluster-view.ts';
import { TestClock } from '@majorana/testing/test-clock';
import { NAMES, testNode, testPod } from './test-objects.ts';

const SECOND = 1000;
const container = { image: 'science:1', nodeSelector: {}, tolerations: [], mounts: [] };
const SHAPE = { key: 'shape', resources: DEFAULT_RESOURCES, container };
const WAITING = { digest: 'd', shapes: [SHAPE] };
/** Of the same size, and not the same shape. */
const mount = { kind: 'secret', name: 'nosuch', mountPath: '/s', isReadOnly: true } as const;
const SECRET = { ...SHAPE, key: 'secret', container: { ...container, mounts: [mount] } };
/** So many of a shape that nothing is known of. */
const FEW = WINDOW_LIMITS.ofShapeFirst;
const LONG_MS = WINDOW_LIMITS.stuckMs;

const nodeWithImage = (name: string) => {
  const node = testNode(name, 8);
  return { ...node, status: { ...node.status, images: [{ names: [container.image] }] } };
};

/** As the API server has a pod to which nothing was added. */
const STORED = { resources: DEFAULT_RESOURCES, nodeSelector: {}, tolerations: [] };

/** Nodes of eight cores, and tasks of one; those that begin with `secret` mount one. */
class Bench {
  readonly clock = new TestClock();
  readonly view = new ClusterView(NAMES, () => true);
  readonly places = new Map<string, { readonly nodeName: string; readonly image: string }>();
  readonly woken = new Set<string>();
  readonly givenBack = new Map<string, string>();
  readonly room: ClusterRoom;
  readonly #plain = { ...SHAPE } as unknown as Lease;
  readonly #secret = { ...SECRET } as unknown as Lease;

  constructor(nodeCount: number) {
    for (let at = 0; at < nodeCount; at += 1) this.view.setNode(testNode(`n${at}`, 8));
    this.room = new ClusterRoom({
      view: this.view,
      clock: this.clock,
      leaseOf: (attemptId) => {
        if (attemptId.startsWith('found')) return { resources: DEFAULT_RESOURCES } as Lease;
        return attemptId.startsWith('secret') ? this.#secret : this.#plain;
      },
      podKey: (attemptId) => `majorana/${attemptId}`,
      placeOf: (attemptId) => this.places.get(attemptId),
      startWords: (attemptId) => `FailedMount of ${attemptId}`,
      onRoom: () => undefined,
    });
    // Of the plain shape one has run.
    this.room.ran('t0');
  }

  task(attemptId: string): Occupant {
    return {
      attemptId,
      resources: DEFAULT_RESOURCES,
      wake: () => void this.woken.add(attemptId),
      giveBack: (reason) => void this.givenBack.set(attemptId, reason),
    };
  }

  /** So many that have just been leased. */
  enter(count: number, prefix = 't'): Occupant[] {
    const tasks = Array.from({ length: count }, (_, at) => this.task(`${prefix}${at}`));
    for (const one of tasks) expect(this.room.enter(one)).toBe(false);
    this.clock.pass(PLAN_MS);
    return tasks;
  }

  /** Their pods are there. */
  make(tasks: readonly Occupant[]): void {
    for (const one of tasks) if (this.isPlaced(one)) this.room.created(one.attemptId, 10, STORED);
  }

  isPlaced = (one: Occupant): boolean => this.room.nodeOf(one.attemptId) !== undefined;

  get offered(): { readonly count: number; readonly reason?: string | undefined } {
    return this.room.offer(WAITING).shapes[0]!;
  }

  get heldMillis(): number {
    return this.view.pictures().reduce((sum, { picture }) => sum + picture.held.cpuMillis, 0);
  }
}

test('leases that come together are placed on nodes with room, and told', () => {
  const bench = new Bench(2);
  const tasks = bench.enter(16);
  expect(tasks.every(bench.isPlaced)).toBe(true);
  expect(bench.woken.size).toBe(16);
  expect(tasks.every((one) => bench.room.enter(one))).toBe(true);
  expect(bench.offered).toMatchObject({
    count: 0,
    reason: expect.stringContaining('core'),
    isFull: true,
  });
});

test('a pod that a new agent finds has its place, starts, and leaves, though its shape is not known', () => {
  const bench = new Bench(1);
  const one = bench.task('found');
  bench.places.set('found', { nodeName: 'n0', image: container.image });
  expect(bench.room.enter(one)).toBe(true);
  expect(bench.room.nodeOf('found')).toBe('n0');
  expect(bench.room.startingCount).toBe(1);
  bench.room.occupy(one);
  expect(bench.room.startingCount).toBe(0);
  expect(bench.room.doOthersStart('found', 0)).toBe(true);
  bench.room.leave(one);
  expect(bench.room.nodeOf('found')).toBeUndefined();
});

test('what only the window or an API server keeps from starting is not said to be without a node', () => {
  const bench = new Bench(100);
  bench.room.learn({ kind: 'refused', status: 429, retryAfterMs: SECOND });
  expect(bench.offered).toMatchObject({ count: 0 });
  expect(bench.offered).not.toHaveProperty('isFull');
});

test('it is told what would have no room even on an empty cluster', () => {
  const bench = new Bench(2);
  bench.enter(16);
  const eight = { ...DEFAULT_RESOURCES, cpuMillis: 8000 };
  const shapes = [
    { ...SHAPE, key: 'whole', resources: eight },
    { ...SHAPE, key: 'two', resources: eight, nodes: 2 },
    { ...SHAPE, key: 'three', resources: eight, nodes: 3 },
    { ...SHAPE, key: 'huge', resources: { ...eight, cpuMillis: 9000 } },
  ];
  const offered = bench.room.offer({ digest: 'd', shapes }).shapes;
  expect(offered.map(({ isUnfit = false }) => isUnfit)).toEqual([false, false, true, true]);
});

test('beyond what may start at once it is told for how many more there are nodes', () => {
  const bench = new Bench(100);
  const [count, soonCount] = [WINDOW_LIMITS.first, 800 - WINDOW_LIMITS.first];
  const reason = expect.stringContaining('that may at once');
  expect(bench.offered).toEqual({ key: 'shape', count, soonCount, reason });
  bench.enter(count);
  expect(bench.offered).toMatchObject({ count: 0, soonCount });
  bench.room.learn({ kind: 'refused', status: 429, retryAfterMs: SECOND });
  expect(bench.offered).not.toHaveProperty('soonCount');
  expect(new Bench(1).offered).toEqual({ key: 'shape', count: 8 });
});

test('no more pods are created than may start at once; each that runs lets two follow', () => {
  const bench = new Bench(100);
  const tasks = bench.enter(200);
  const { first } = WINDOW_LIMITS;
  expect(tasks.filter(bench.isPlaced)).toHaveLength(first);
  for (const one of tasks.filter(bench.isPlaced)) bench.room.occupy(one);
  bench.clock.pass(PLAN_MS);
  expect(tasks.filter(bench.isPlaced)).toHaveLength(first + 2 * first);
});

test('the room of a lease that has just come in is not offered again before it waits', () => {
  const bench = new Bench(2);
  const [one, other] = [bench.task('one'), bench.task('other')];
  bench.room.expect(one);
  bench.room.expect(other);
  expect(bench.offered.count).toBe(14);
  bench.room.enter(one);
  expect(bench.offered.count).toBe(14);
  bench.room.leave(other);
  expect(bench.offered.count).toBe(15);
});

test('a refusing API server is given the time it asks for, and then half as many', () => {
  const bench = new Bench(100);
  bench.room.learn({ kind: 'refused', status: 429, retryAfterMs: 7 * SECOND });
  const tasks = bench.enter(100);
  expect(tasks.some(bench.isPlaced)).toBe(false);
  expect(bench.offered).toMatchObject({ count: 0, reason: expect.stringContaining('429') });
  bench.clock.pass(7 * SECOND);
  expect(tasks.filter(bench.isPlaced)).toHaveLength(WINDOW_LIMITS.first / 2);
});

test('a placed task whose pod is never made leaves its room to others', () => {
  const bench = new Bench(1);
  const tasks = bench.enter(8);
  expect(bench.heldMillis).toBe(8000);
  for (const one of tasks) bench.room.leave(one);
  expect(bench.heldMillis).toBe(0);
  expect(bench.room.startingCount).toBe(0);
  expect(bench.offered.count).toBe(8);
});

test('a pod that is there has its place, also on a full cluster', () => {
  const bench = new Bench(1);
  for (let at = 0; at < 8; at += 1) bench.view.setPod(testPod(`t${at}`, 'n0', '1'));
  for (let at = 0; at < 8; at += 1) {
    const one = bench.task(`t${at}`);
    bench.places.set(one.attemptId, { nodeName: 'n0', image: container.image });
    expect(bench.room.enter(one)).toBe(true);
  }
  expect(bench.room.startingCount).toBe(8);
  bench.clock.pass(60 * SECOND);
  expect(bench.givenBack.size).toBe(0);
  expect(bench.heldMillis).toBe(8000);
});

/** As the sweep does, each second. */
function wait(bench: Bench, tasks: readonly Occupant[], seconds: number): void {
  for (let second = 0; second < seconds; second += 1) {
    bench.clock.pass(SECOND);
    for (const one of tasks) if (!bench.givenBack.has(one.attemptId)) bench.room.enter(one);
  }
}

test('a lease that no node has room for goes back after 30 s', () => {
  const bench = new Bench(1);
  bench.enter(8, 'first');
  const late = bench.enter(3, 'late');
  wait(bench, late, 29);
  expect(bench.givenBack.size).toBe(0);
  wait(bench, late, 3);
  expect(bench.givenBack.get('late0')).toMatch(/no node had room/);
  expect(bench.givenBack.size).toBe(3);
});

test('a lease that only waits for its turn is not given back: it would come again', () => {
  const bench = new Bench(100);
  for (let at = 0; at < 100; at += 1) bench.view.setNode(nodeWithImage(`n${at}`));
  const tasks = bench.enter(60);
  const waiting = tasks.filter((one) => !bench.isPlaced(one));
  expect(waiting).toHaveLength(60 - WINDOW_LIMITS.first);
  wait(bench, waiting, 120);
  expect(bench.givenBack.size).toBe(0);
  wait(bench, waiting, 240);
  expect(bench.givenBack.size).toBe(waiting.length);
});

test('what waits for a long pull keeps nobody else from starting', () => {
  const bench = new Bench(8);
  const slow = bench.enter(WINDOW_LIMITS.first);
  bench.make(slow);
  expect(slow.every(bench.isPlaced)).toBe(true);
  expect(bench.offered.count).toBe(0);
  bench.clock.pass(LONG_MS);
  expect(bench.room.startingCount).toBe(WINDOW_LIMITS.first);
  expect(bench.enter(8, 'secret').every(bench.isPlaced)).toBe(true);
  expect(bench.offered.count).toBe(0);
  // Where the image is already, its tasks start.
  bench.room.ran('t0');
  expect(bench.offered.count).toBe(64 - WINDOW_LIMITS.first - 8);
});

test('a lease that waits for others to pull its image says so, and not that the window is full', () => {
  const bench = new Bench(20);
  const tasks = bench.enter(16 * 8 + 1);
  for (let second = 0; second < 200; second += 1) {
    bench.make(tasks);
    bench.room.ran('t0');
    bench.clock.pass(SECOND);
  }
  const [late] = tasks.filter((one) => !bench.isPlaced(one));
  const words = /4 without the image, while enough nodes pull it/;
  expect(bench.room.describe(late!.attemptId)).toMatch(words);
  for (let second = 0; second < 120; second += 1) {
    bench.room.ran('t0');
    wait(bench, [late!], 1);
  }
  expect(bench.givenBack.get(late!.attemptId)).toMatch(words);
});

test('a rule of the cluster that refuses pods holds back their shape alone, and one finds out when it ends', () => {
  const bench = new Bench(100);
  const larger = { ...SHAPE, key: 'larger', resources: { ...DEFAULT_RESOURCES, cpuMillis: 2000 } };
  const offered = (): readonly number[] =>
    bench.room.offer({ digest: 'd', shapes: [SHAPE, larger] }).shapes.map(({ count }) => count);
  const tasks = bench.enter(40);
  const placed = (): Occupant[] => tasks.filter(bench.isPlaced);
  for (const one of placed()) bench.room.refused(one.attemptId, 'exceeded quota: two');
  bench.clock.pass(PLAN_MS);
  expect(placed()).toHaveLength(WINDOW_LIMITS.first);
  expect(bench.offered.reason).toBe('its pods are refused: exceeded quota: two');
  expect(bench.room.why).toContain('exceeded quota: two');
  expect(offered()).toEqual([0, FEW]);
  wait(bench, tasks, 1);
  const probe = placed().at(-1)!;
  expect(placed()).toHaveLength(WINDOW_LIMITS.first + 1);
  bench.room.refused(probe.attemptId, 'exceeded quota: two');
  wait(bench, tasks, 1);
  expect(placed()).toHaveLength(WINDOW_LIMITS.first + 1);
  bench.room.created(probe.attemptId, 10, STORED);
  bench.room.occupy(probe);
  wait(bench, tasks, 1);
  expect(placed()).toHaveLength(40);
  expect(bench.room.why).not.toContain('quota');
});

test('where a quota is used up, a pod that ends lets another be tried at once', () => {
  const bench = new Bench(100);
  const [first] = bench.enter(1, 'first');
  bench.room.created(first!.attemptId, 10, STORED);
  bench.room.occupy(first!);
  const [second] = bench.enter(1, 'second');
  bench.room.refused(second!.attemptId, 'exceeded quota: one');
  bench.room.leave(second!);
  expect(bench.offered.count).toBe(0);
  bench.room.leave(first!);
  expect(bench.offered.count).toBe(1);
});

test('a lease that waits behind refused ones goes back with the reason, and the reason is forgotten', () => {
  const bench = new Bench(100);
  const tasks = bench.enter(40);
  const refuse = (): void => {
    for (const one of tasks)
      if (bench.isPlaced(one)) bench.room.refused(one.attemptId, 'exceeded quota: two');
  };
  for (let second = 0; second < 32; second += 1) {
    refuse();
    wait(bench, tasks, 1);
  }
  expect([...bench.givenBack.values()][0]).toMatch(/waited 30 s here: exceeded quota: two/);
  for (const one of tasks) bench.room.leave(one);
  expect(bench.offered.count).toBeLessThanOrEqual(1);
  bench.clock.pass(10 * 60 * SECOND);
  expect(bench.room.why).not.toContain('quota');
  expect(bench.offered.count).toBeGreaterThan(1);
});

type Act = { readonly kind: 'enter' | 'run' | 'end' | 'refuse' | 'wait'; readonly which: number };

function act(bench: Bench, here: Occupant[], { kind, which }: Act): void {
  const one = here[which % Math.max(1, here.length)];
  if (kind === 'enter') {
    here.push(bench.task(`t${which}-${here.length}-${bench.clock.nowMs()}`));
    bench.room.enter(here.at(-1)!);
  } else if (kind === 'run' && one !== undefined && bench.isPlaced(one)) bench.room.occupy(one);
  else if (kind === 'end' && one !== undefined) {
    here.splice(here.indexOf(one), 1);
    bench.room.leave(one);
  } else if (kind === 'refuse') bench.room.learn({ kind: 'refused', status: 500, retryAfterMs: 0 });
  bench.clock.pass(kind === 'wait' ? which * 100 : PLAN_MS);
}

test('whatever happens, no node is overfilled, and what is left gives all of its room back', () => {
  const kind = fc.constantFrom<Act['kind']>(
    'enter',
    'enter',
    'enter',
    'run',
    'end',
    'refuse',
    'wait',
  );
  fc.assert(
    fc.property(fc.array(fc.record({ kind, which: fc.nat(20) }), { maxLength: 120 }), (acts) => {
      const bench = new Bench(2);
      const here: Occupant[] = [];
      for (const one of acts) {
        act(bench, here, one);
        for (const { picture } of bench.view.pictures())
          expect(picture.held.cpuMillis).toBeLessThanOrEqual(8000);
        expect(bench.heldMillis).toBe(here.filter(bench.isPlaced).length * 1000);
      }
      for (const one of here) bench.room.leave(one);
      bench.clock.pass(10 * SECOND);
      bench.room.ran('t0');
      expect(bench.heldMillis).toBe(0);
      expect(bench.room.startingCount).toBe(0);
      expect(bench.offered.count).toBe(Math.min(16, Math.floor(bench.room.window.limit)));
    }),
  );
});

test('what the cluster adds to a pod is counted to those after it, until none was made for a minute', () => {
  const bench = new Bench(2);
  bench.view.setNode(testNode('pool', 8, { metadata: { name: 'pool', labels: { pool: 'a' } } }));
  const [first] = bench.enter(1, 'first');
  expect(bench.offered.count).toBe(23);
  const resources = { ...DEFAULT_RESOURCES, cpuMillis: 2000 };
  bench.room.created(first!.attemptId, 10, {
    resources,
    nodeSelector: { pool: 'a' },
    tolerations: [],
  });
  bench.room.leave(first!);
  expect(bench.offered.count).toBe(4);
  const later = bench.enter(4);
  expect(later.map((one) => bench.room.nodeOf(one.attemptId))).toEqual(Array(4).fill('pool'));
  expect(bench.heldMillis).toBe(8000);
  expect(bench.offered.count).toBe(0);
  bench.clock.pass(61 * SECOND);
  bench.enter(1, 'probe');
  expect(bench.offered.count).toBeGreaterThan(0);
});

test('a shape of which nothing starts takes half of the window, and that for ten seconds', () => {
  const bench = new Bench(100);
  const bad = bench.enter(200, 'secret');
  bench.make(bad);
  expect(bad.filter(bench.isPlaced)).toHaveLength(FEW);
  const good = bench.enter(200, 'good');
  expect(good.filter(bench.isPlaced)).toHaveLength(WINDOW_LIMITS.first - FEW);
  bench.clock.pass(LONG_MS + PLAN_MS);
  expect(good.filter(bench.isPlaced)).toHaveLength(FEW);
  for (const one of good.filter(bench.isPlaced)) bench.room.occupy(one);
  bench.clock.pass(PLAN_MS);
  expect(good.filter(bench.isPlaced)).toHaveLength(WINDOW_LIMITS.first - FEW + 48);
  expect(bad.filter(bench.isPlaced)).toHaveLength(FEW);
});

test('what keeps a shape from starting is told of it, and of the cluster', () => {
  const bench = new Bench(100);
  const bad = bench.enter(FEW + 1, 'secret');
  bench.make(bad);
  const offers = () => bench.room.offer({ digest: 'd', shapes: [SECRET, SHAPE] }).shapes;
  expect(offers()[0]!.reason).toMatch(/more of its shape when the first have started/);
  bench.clock.pass(LONG_MS);
  const words = '16 pods have not started for 10 s: FailedMount of secret0';
  expect(offers()[0]).toEqual({ key: 'secret', count: 0, reason: `of its shape ${words}` });
  expect(offers()[1]).toMatchObject({ count: FEW });
  expect(bench.room.why).toBe(`nothing has started yet; ${words}`);
  expect(bench.room.describe(`secret${FEW}`)).toBe(`of its shape ${words}`);
  for (const one of bad) bench.room.leave(one);
  expect(bench.room.why).not.toContain('FailedMount');
  expect(offers()[0]!.count).toBe(FEW);
});

test('of stuck pods each that ends lets one follow, and one that starts lets all', () => {
  const bench = new Bench(100);
  const bad = bench.enter(30, 'secret');
  bench.make(bad);
  bench.clock.pass(LONG_MS);
  const placed = (): number => bad.filter(bench.isPlaced).length;
  bench.room.leave(bad[0]!);
  bench.clock.pass(PLAN_MS);
  expect(placed()).toBe(FEW);
  bench.room.occupy(bad[1]!);
  bench.clock.pass(PLAN_MS);
  expect(placed()).toBe(29);
});

test('pods that the API server has not made yet are not stuck: the window counts them', () => {
  const bench = new Bench(100);
  bench.enter(200, 'secret');
  bench.clock.pass(6 * LONG_MS);
  expect(bench.room.startingCount).toBe(FEW);
  expect(bench.room.why).not.toContain('have not started');
});

test('leases that wait behind stuck pods of their shape keep no room from others', () => {
  const bench = new Bench(100);
  bench.make(bench.enter(200, 'secret'));
  bench.room.ran('t0');
  expect(bench.offered.count).toBe(WINDOW_LIMITS.first - FEW);
});

test('whether others of its shape start is known of a pod that does not', () => {
  const bench = new Bench(1);
  const [stuck] = bench.enter(1, 'secret');
  const madeAtMs = bench.clock.nowMs();
  bench.clock.pass(SECOND);
  bench.room.ran('t0');
  expect(bench.room.doOthersStart(stuck!.attemptId, madeAtMs)).toBe(false);
  bench.room.ran('secret1');
  expect(bench.room.doOthersStart(stuck!.attemptId, madeAtMs)).toBe(true);
});
