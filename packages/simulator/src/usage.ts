import type { Resources } from '@majorana/core';
import { addResources, fits, subtractResources } from '@majorana/core';

const NOTHING: Resources = {
  cpuMillis: 0,
  memoryBytes: 0,
  scratchBytes: 0,
  shmBytes: 0,
  gpuCount: 0,
  countable: {},
};

/** What is in use together, by name of who uses it. */
export class Usage {
  readonly #used = new Map<string, Resources>();

  add(name: string, resources: Resources): void {
    this.#used.set(name, addResources(this.of(name), resources));
  }

  remove(name: string, resources: Resources): void {
    this.#used.set(name, subtractResources(this.of(name), resources));
  }

  of(name: string): Resources {
    return this.#used.get(name) ?? NOTHING;
  }

  isWithin(name: string, capacity: Resources): boolean {
    return fits(this.of(name), capacity);
  }
}
