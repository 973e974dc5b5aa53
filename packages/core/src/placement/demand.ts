import type { Resources } from '../resources.ts';
import { MEBIBYTE } from '../resources.ts';

/** Columns that every node has; countable resources get theirs when first seen. */
export const CPU = 0;
export const MEMORY = 1;
export const PODS = 2;
export const SCRATCH = 3;
export const GPU = 4;
export const FIXED_COLUMNS = ['cpuMillis', 'memoryBytes', 'pods', 'scratchBytes', 'gpuCount'];

/** A table column is named by its resource; a countable one could be called `pods` too. */
export const countableColumn = (name: string): string => `countable:${name}`;

export const COMMON: readonly number[] = [CPU, MEMORY, PODS];

const isEmpty = (record: object): boolean => {
  for (const _ in record) return false;
  return true;
};

/**
 * A task that asks for less gets this in its pod: one without requests is the first to be killed
 * when memory is short, and a count of them on a node has no end.
 */
const REQUEST_FLOOR = { cpuMillis: 10, memoryBytes: 16 * MEBIBYTE };

/** What the pod of a task requests of the node. */
export const withRequestFloor = (resources: Resources): Resources =>
  resources.cpuMillis >= REQUEST_FLOOR.cpuMillis &&
  resources.memoryBytes >= REQUEST_FLOOR.memoryBytes
    ? resources
    : {
        ...resources,
        cpuMillis: Math.max(resources.cpuMillis, REQUEST_FLOOR.cpuMillis),
        memoryBytes: Math.max(resources.memoryBytes, REQUEST_FLOOR.memoryBytes),
      };

/** What one task takes of which column, zeros left out: most tasks ask for the common three. */
export interface Demand {
  readonly columns: readonly number[];
  readonly amounts: readonly number[];
}

export const timesDemand = ({ columns, amounts }: Demand, count: number): Demand => ({
  columns,
  amounts: amounts.map((amount) => amount * count),
});

/** Cores, memory and pods alone. */
export const isCommonDemand = ({ scratchBytes, gpuCount, countable }: Resources): boolean =>
  scratchBytes <= 0 && gpuCount <= 0 && isEmpty(countable);

export const plainDemand = (cpuMillis: number, memoryBytes: number): Demand => ({
  columns: COMMON,
  amounts: [cpuMillis, memoryBytes, 1],
});

export function demandOf(
  resources: Resources,
  podCount: number,
  columnOf: (name: string) => number,
): Demand {
  const { cpuMillis, memoryBytes, scratchBytes, gpuCount } = resources;
  if (isCommonDemand(resources))
    return { columns: COMMON, amounts: [cpuMillis, memoryBytes, podCount] };
  const columns = [...COMMON];
  const amounts = [cpuMillis, memoryBytes, podCount];
  const add = (column: number, amount: number): void => {
    if (amount <= 0) return;
    columns.push(column);
    amounts.push(amount);
  };
  add(SCRATCH, scratchBytes);
  add(GPU, gpuCount);
  for (const name in resources.countable) add(columnOf(name), resources.countable[name]!);
  return { columns, amounts };
}

/** Of cores, memory and pods alone. */
export const isCommon = ({ columns }: Demand): boolean => columns === COMMON;

/** Resources that most nodes have none of: they decide where a task may run at all. */
export const isRare = (column: number): boolean => column >= GPU;

type Table = readonly Float64Array[];

export function fitsSlot(demand: Demand, table: Table, slot: number): boolean {
  const { columns, amounts } = demand;
  for (let at = 0; at < columns.length; at += 1)
    if (amounts[at]! > table[columns[at]!]![slot]!) return false;
  return true;
}

/** How many tasks of this demand the slot has room for. */
export function countFitting(demand: Demand, table: Table, slot: number): number {
  const { columns, amounts } = demand;
  let count = Infinity;
  for (let at = 0; at < columns.length; at += 1) {
    const amount = amounts[at]!;
    const free = table[columns[at]!]![slot]!;
    if (amount > free) return 0;
    if (amount > 0) count = Math.min(count, Math.floor(free / amount));
  }
  return count;
}

export function takeFrom(table: Table, slot: number, demand: Demand, count: number): void {
  const { columns, amounts } = demand;
  for (let at = 0; at < columns.length; at += 1)
    table[columns[at]!]![slot]! -= amounts[at]! * count;
}
