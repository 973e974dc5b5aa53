import { readdirSync } from 'node:fs';

/** The GPUs of this machine, by the number in their device's name. */
export function detectGpuCount(): number {
  try {
    return readdirSync('/dev').filter((name) => /^nvidia\d+$/.test(name)).length;
  } catch {
    return 0;
  }
}

/** Which attempt has which GPU. An index is free again when the attempt's program has ended. */
export class GpuPool {
  readonly #count: number;
  readonly #takenById = new Map<string, readonly number[]>();

  constructor(count: number) {
    this.#count = count;
  }

  take(attemptId: string, count: number): readonly number[] {
    const own = this.#takenById.get(attemptId);
    if (own !== undefined) return own;
    const taken = new Set([...this.#takenById.values()].flat());
    const free = Array.from({ length: this.#count }, (_, index) => index).filter(
      (index) => !taken.has(index),
    );
    if (free.length < count) {
      throw new Error(`${count} GPUs are needed and ${free.length} of ${this.#count} are free`);
    }
    const indices = free.slice(0, count);
    this.retake(attemptId, indices);
    return indices;
  }

  /** Of an attempt that an earlier agent gave them to. */
  retake(attemptId: string, indices: readonly number[]): void {
    if (indices.length > 0) this.#takenById.set(attemptId, indices);
  }

  release(attemptId: string): void {
    this.#takenById.delete(attemptId);
  }
}
