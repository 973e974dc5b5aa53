import type { PlacementGroup, Resources } from '@majorana/core';
import { hashText, withRequestFloor } from '@majorana/core';
import type { Lease, WaitingShape } from '@majorana/protocol';
import type { PodNeeds } from './additions.ts';
import { Additions } from './additions.ts';
import { fullImageName } from './image-names.ts';
import { meantBy } from './tolerations.ts';

type Shape = Omit<WaitingShape, 'key'>;

const shapeOf = ({ resources, container, gang }: Lease): Shape => ({
  resources,
  container: container!,
  ...(gang && { nodes: gang.nodes }),
});

/** Of all that placement and the cluster's rules go by, and whether a start comes about. */
export const keyOfShape = ({ resources, container, nodes }: Shape): string => {
  const { image, nodeSelector, tolerations, mounts } = container;
  return hashText(JSON.stringify([resources, image, nodeSelector, tolerations, mounts, nodes]));
};

const askedBy = ({ resources, container }: Omit<Shape, 'nodes'>): PodNeeds => ({
  resources: withRequestFloor(resources),
  nodeSelector: container.nodeSelector,
  // zod tells an absent value by undefined, the core by absence.
  tolerations: container.tolerations as PodNeeds['tolerations'],
});

/** What leases and waiting shapes are to placement, with what the cluster adds to their pods. */
export class Groups {
  readonly #additions = new Additions();
  /** Of a lease: thousands of tasks ask for the same. */
  #byLease = new WeakMap<Lease, PlacementGroup>();
  readonly #keys = new WeakMap<Lease, string>();

  keyOf(lease: Lease): string {
    // Of a pod that a new agent finds, its annotations tell no more than whose it is.
    if (lease.container === undefined) return '';
    const key = this.#keys.get(lease) ?? keyOfShape(shapeOf(lease));
    this.#keys.set(lease, key);
    return key;
  }

  /** A pod of the lease was created, and the cluster has stored it so. */
  learn(lease: Lease, stored: PodNeeds, nowMs: number): void {
    const isNews = this.#additions.learn(
      () => this.keyOf(lease),
      askedBy(shapeOf(lease)),
      stored,
      nowMs,
    );
    if (isNews) this.#byLease = new WeakMap();
  }

  forget(nowMs: number): void {
    if (this.#additions.forget(nowMs)) this.#byLease = new WeakMap();
  }

  /** What a pod of the lease will take of its node. */
  resourcesOf(lease: Lease): Resources {
    return this.#additions.to(() => this.keyOf(lease), askedBy(shapeOf(lease))).resources;
  }

  ofLease(lease: Lease, sinceMs: number): PlacementGroup {
    const known = this.#byLease.get(lease);
    if (known !== undefined) return known;
    const shape = shapeOf(lease);
    const group = this.ofShape({ ...shape, key: this.keyOf(lease) }, sinceMs);
    this.#byLease.set(lease, group);
    return group;
  }

  ofShape(shape: WaitingShape, sinceMs: number): PlacementGroup {
    const { key, container, nodes } = shape;
    const needs = this.#additions.to(() => keyOfShape(shape), askedBy(shape));
    return {
      key,
      ...needs,
      tolerations: meantBy(needs),
      podsPerTask: 1,
      image: fullImageName(container.image),
      ...(nodes !== undefined && { gang: { size: nodes } }),
      priority: 0,
      waitingSinceMs: sinceMs,
      count: 1,
      policy: 'pack',
    };
  }
}
