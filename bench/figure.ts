export interface Figure {
  readonly name: string;
  readonly value: string;
  /** The limit or the peer it was measured against in the same run, or how. */
  readonly beside: string;
}

export const seconds = (ms: number): string =>
  ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;

export async function timed<T>(act: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const begun = performance.now();
  const value = await act();
  return { ms: performance.now() - begun, value };
}

/** The middle of an odd number of runs. */
export async function median(runs: number, act: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < runs; run += 1) times.push((await timed(act)).ms);
  return times.toSorted((a, b) => a - b)[Math.floor(runs / 2)]!;
}
