/** `from`, `from + step`, … up to and including `to`. */
export interface ArrayRange {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

export const TASK_COUNT_MAX = 1_000_000;
const INDEX_MAX = 2_147_483_647;

export const rangeLength = (range: ArrayRange): number =>
  Math.floor((range.to - range.from) / range.step) + 1;

export const countIndexes = (ranges: readonly ArrayRange[]): number =>
  ranges.reduce((sum, range) => sum + rangeLength(range), 0);

/** The array index at a position from 0, or undefined past the end. */
export function indexAt(ranges: readonly ArrayRange[], position: number): number | undefined {
  let rest = position;
  for (const range of ranges) {
    const length = rangeLength(range);
    if (rest < length) return range.from + rest * range.step;
    rest -= length;
  }
  return undefined;
}

/** The position from 0 of an array index, or undefined when the array has no such index. */
export function positionOf(ranges: readonly ArrayRange[], index: number): number | undefined {
  let before = 0;
  for (const range of ranges) {
    if (index >= range.from && index <= range.to) {
      return (index - range.from) % range.step === 0
        ? before + (index - range.from) / range.step
        : undefined;
    }
    before += rangeLength(range);
  }
  return undefined;
}

export type ParsedArray =
  | { readonly ok: true; readonly ranges: ArrayRange[]; readonly parallelMax: number | undefined }
  | { readonly ok: false; readonly position: number; readonly why: string };

const partPattern = /^(\d{1,10})(?:-(\d{1,10})(?::(\d{1,10}))?)?$/;

function parsePart(part: string): ArrayRange | string {
  const match = partPattern.exec(part);
  if (match === null) return `"${part}" is not a number, a range a-b or a range with step a-b:s`;
  const from = Number(match[1]);
  const to = Number(match[2] ?? match[1]);
  const step = Number(match[3] ?? 1);
  if (to > INDEX_MAX) return `index ${to} is above ${INDEX_MAX}`;
  if (step === 0) return 'a step of 0 never ends';
  if (to < from) return `the range ends (${to}) before it begins (${from})`;
  return { from, to: from + Math.floor((to - from) / step) * step, step };
}

/** Reads `0-999`, `1,3,10-20:2` or `0-99%8` (at most 8 at once). Indexes must ascend. */
export function parseArray(text: string): ParsedArray {
  const [list = '', limit, ...extra] = text.split('%');
  if (extra.length > 0 || (limit !== undefined && !/^[1-9]\d{0,8}$/.test(limit))) {
    return {
      ok: false,
      position: list.length,
      why: 'after % one whole number above 0 is expected',
    };
  }
  const ranges: ArrayRange[] = [];
  let position = 0;
  for (const part of list.split(',')) {
    const range = parsePart(part);
    if (typeof range === 'string') return { ok: false, position, why: range };
    const last = ranges.at(-1);
    if (last !== undefined && range.from <= last.to) {
      return {
        ok: false,
        position,
        why: `${range.from} does not come after ${last.to}; indexes must ascend`,
      };
    }
    ranges.push(range);
    position += part.length + 1;
  }
  const count = countIndexes(ranges);
  if (count > TASK_COUNT_MAX) {
    return {
      ok: false,
      position: 0,
      why: `${count} tasks are more than ${TASK_COUNT_MAX}, the most in one job`,
    };
  }
  return { ok: true, ranges, parallelMax: limit === undefined ? undefined : Number(limit) };
}
