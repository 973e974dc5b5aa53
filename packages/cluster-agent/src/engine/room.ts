import type { Resources } from '@majorana/core';
import { addResources, fits, subtractResources } from '@majorana/core';

/** Who takes room, and is told when there may be some. */
export interface Occupant {
  readonly attemptId: string;
  readonly resources: Resources;
  wake(): void;
  /** It has no room here: its lease goes back, and is leased again, uncounted. */
  giveBack(reason: string): void;
}

/** Where what runs finds its place. */
export interface RoomPort {
  /** Its lease has just come in: it will enter. */
  expect?(one: Occupant): void;
  /** False when it has to wait; it is woken when it may try again. */
  enter(one: Occupant): boolean;
  /** For what may run: it has its room until it is known to run, to have ended, or to have to wait. */
  presume(one: Occupant): void;
  /** For what runs already, whether it fits or not. */
  occupy(one: Occupant): void;
  leave(one: Occupant): void;
}

/**
 * What runs at once fits into the agent's capacity, also when it holds leases ahead of its room.
 * First come, first in: a large one at the head is not passed by.
 */
export class Room implements RoomPort {
  #free: Resources;
  readonly #inside = new Set<Occupant>();
  /** Of those inside: what may run, for all that is known. */
  readonly #presumed = new Set<Occupant>();
  readonly #waiting = new Set<Occupant>();

  constructor(capacity: Resources) {
    this.#free = capacity;
  }

  enter(one: Occupant): boolean {
    if (this.#presumed.has(one)) this.#vacate(one);
    if (this.#inside.has(one)) return true;
    const [head = one] = this.#waiting;
    if (head !== one || !fits(one.resources, this.#free)) {
      this.#waiting.add(one);
      return false;
    }
    this.#waiting.delete(one);
    this.occupy(one);
    this.#wakeHead();
    return true;
  }

  presume(one: Occupant): void {
    if (this.#inside.has(one)) return;
    this.occupy(one);
    this.#presumed.add(one);
  }

  occupy(one: Occupant): void {
    this.#presumed.delete(one);
    if (this.#inside.has(one)) return;
    this.#inside.add(one);
    this.#waiting.delete(one);
    this.#free = subtractResources(this.#free, one.resources);
  }

  leave(one: Occupant): void {
    this.#waiting.delete(one);
    this.#vacate(one);
    this.#wakeHead();
  }

  #vacate(one: Occupant): void {
    this.#presumed.delete(one);
    if (this.#inside.delete(one)) this.#free = addResources(this.#free, one.resources);
  }

  #wakeHead(): void {
    const [head] = this.#waiting;
    if (head !== undefined && fits(head.resources, this.#free)) head.wake();
  }
}
