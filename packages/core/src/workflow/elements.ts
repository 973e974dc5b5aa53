import { indexAt, countIndexes, parseArray } from '../array-range.ts';
import type { TaskFields } from '../placeholder.ts';
import type { Each } from './definition.ts';
import { linesOf } from './condition.ts';

export const ELEMENTS_MAX = 100_000;
/** Each is some steps of the run: a run holds the states of all its steps in memory. */
export const NESTED_ELEMENTS_MAX = 10_000;

export interface StepFile {
  /** Position of the element that stored it; null: its step is no fan-out. */
  readonly position: number | null;
  readonly path: string;
  readonly object: string;
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
const stemOf = (name: string): string => {
  const dot = name.lastIndexOf('.');
  return dot <= 0 ? name : name.slice(0, dot);
};

/** Own fields of each element; `files` and `text` are what the reference of `each` leads to. */
export function expand(
  each: Each,
  found: { readonly files: readonly StepFile[]; readonly text: string },
): TaskFields[] {
  switch (each.kind) {
    case 'values':
      return each.values.map((value) => ({ value }));
    case 'records':
      return [...each.records];
    case 'range':
      return indexesOf(each.range).map((value) => ({ value: String(value) }));
    case 'lines':
      return linesOf(found.text).map((line) => ({ line }));
    case 'files':
      return found.files.map(({ path, object }) => ({
        file: baseName(path),
        stem: stemOf(baseName(path)),
        fileObject: object,
      }));
  }
}

/** What an element's placeholders may name: its own fields, and where it stands. */
export const elementFields = (own: TaskFields, position: number, count: number): TaskFields => ({
  index: String(position),
  task_count: String(count),
  ...own,
});

function indexesOf(range: string): number[] {
  const parsed = parseArray(range);
  if (!parsed.ok) throw new Error(`${range}: ${parsed.why}; the check lets it by`);
  const count = countIndexes(parsed.ranges);
  return Array.from({ length: count }, (_, position) => indexAt(parsed.ranges, position)!);
}

/** How a person knows an element. */
export function elementLabel(fields: TaskFields): string {
  const { line, file, value, index } = fields;
  const own = Object.entries(fields).filter(
    ([name]) => !/^(index|task_count|\w+Object)$/.test(name),
  );
  return (
    line ?? file ?? value ?? (own.map((pair) => pair.join('=')).join(', ') || `${index ?? ''}`)
  );
}
