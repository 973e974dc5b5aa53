import type { Resources } from '@majorana/core';
import { DEFAULT_RESOURCES } from '@majorana/core';
import type { Lease, WaitingShape } from '@majorana/protocol';
import { TestClock } from '@majorana/testing/test-clock';
import { expect, test } from 'vitest';
import type { Occupant } from '../engine/room.ts';
import { ClusterRoom, PLAN_MS } from './cluster-room.ts';
import { ClusterView } from './cluster-view.ts';
import { KEPT } from './kept-nodes.ts';
import { NAMES, testNode } from './test-objects.ts';

const SECOND = 1000;
const container = { image: 'science:1', nodeSelector: {}, tolerations: [], mounts: [] };
const cores = (count: number): Resources => ({ ...DEFAULT_RESOURCES, cpuMillis: count * 1000 });
const SMALL: WaitingShape = { key: 'small', resources: cores(1), container };
const GANG: WaitingShape = { key: 'gang', resources: cores(8), container, nodes: 2 };
/** On no node of eight cores, ever. */
const HUGE: WaitingShape = { key: 'huge', resources: cores(9), container, isLate: true };

/** Nodes of eight cores, on which small tasks of 5 to 20 s follow each other without end. */
class Busy {
  readonly clock = new TestClock();
  readonly view = new ClusterView(NAMES, () => true);
  readonly room: ClusterRoom;
  readonly running = new Map<Occupant, number>();
  readonly #leases = new Map<string, Lease>();
  #count = 0;

  constructor(nodeCount: number) {
    for (let at = 0; at < nodeCount; at += 1) this.view.setNode(testNode(`n${at}`, 8));
    this.room = new ClusterRoom({
      view: this.view,
      clock: this.clock,
      leaseOf: (attemptId) => this.#leases.get(attemptId)!,
      podKey: (id) => `majorana/${id}`,
      placeOf: () => undefined,
      startWords: () => '',
      onRoom: () => undefined,
    });
  }

  lease({ resources, nodes }: WaitingShape): Occupant {
    const attemptId = `job_1.${(this.#count += 1)}.1`;
    const gang = nodes === undefined ? {} : { gang: { nodes, ranksPerNode: 1 } };
    this.#leases.set(attemptId, { attemptId, resources, container, ...gang } as unknown as Lease);
    const one = { attemptId, resources, wake: () => undefined, giveBack: () => undefined };
    this.room.enter(one);
    return one;
  }

  offer(shapes: readonly WaitingShape[]): Readonly<Record<string, { count: number }>> {
    const offered = this.room.offer({ digest: 'd', shapes });
    return Object.fromEntries(offered.shapes.map((one) => [one.key, one]));
  }

  /** One second: what is over ends, and small tasks take what they are offered. */
  pass(shapes: readonly WaitingShape[]): ReturnType<Busy['offer']> {
    const nowMs = this.clock.nowMs();
    for (const [one, endsAtMs] of this.running)
      if (endsAtMs <= nowMs) {
        this.running.delete(one);
        this.room.leave(one);
      }
    const offered = this.offer(shapes);
    for (let left = offered['small']?.count ?? 0; left > 0; left -= 1) {
      const one = this.lease(SMALL);
      this.running.set(one, nowMs + (5 + (this.#count % 16)) * SECOND);
    }
    this.clock.pass(PLAN_MS);
    for (const one of this.running.keys()) if (this.room.enter(one)) this.room.occupy(one);
    this.clock.pass(SECOND - PLAN_MS);
    return offered;
  }

  passUntil(shapes: readonly WaitingShape[], isIt: (seen: ReturnType<Busy['offer']>) => boolean) {
    for (let second = 0; second < 300; second += 1) if (isIt(this.pass(shapes))) return second;
    return undefined;
  }

  get keptCount(): number {
    return this.view
      .pictures()
      .filter(({ picture }) => picture.taints.some(({ key }) => key === KEPT.key)).length;
  }
}

test('a late gang gets its nodes while small tasks follow each other without end', () => {
  const busy = new Busy(6);
  busy.passUntil([SMALL], () => busy.running.size === 48);
  const late = { ...GANG, isLate: true } as const;
  const hasRoom = (seen: ReturnType<Busy['offer']>): boolean => seen['gang']!.count > 0;
  expect(busy.passUntil([SMALL, late, HUGE], hasRoom)).toBeLessThan(120);
  expect(busy.keptCount).toBe(2);
  expect(busy.running.size).toBeGreaterThan(24);
  const gang = busy.lease(GANG);
  busy.pass([SMALL, HUGE]);
  expect(busy.room.nodeOf(gang.attemptId)).toBeDefined();
  for (let second = 0; second < 10; second += 1) busy.pass([SMALL, HUGE]);
  expect(busy.keptCount).toBe(0);
});

test('nodes are kept for nothing that is not late, finds room now and then, or fits nowhere', () => {
  const busy = new Busy(4);
  const small = { ...SMALL, isLate: true } as const;
  for (let second = 0; second < 200; second += 1) {
    busy.pass([small, GANG, HUGE]);
    expect(busy.keptCount).toBe(0);
  }
});

test('a node that goes is replaced by another, and all are free again when nobody waits', () => {
  const busy = new Busy(5);
  const late = { ...GANG, isLate: true } as const;
  busy.passUntil([SMALL, late], () => busy.keptCount === 2);
  const [gone] = busy.view.pictures().filter(({ picture }) => picture.taints.length > 0);
  busy.view.removeNode(gone!.picture.name);
  busy.pass([SMALL, late]);
  busy.pass([SMALL, late]);
  expect(busy.keptCount).toBe(2);
  for (let second = 0; second < 10; second += 1) busy.pass([SMALL]);
  expect(busy.keptCount).toBe(0);
});
