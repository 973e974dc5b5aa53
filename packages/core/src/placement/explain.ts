import { formatQuantity } from '../resources.ts';
import { Asked } from './asked.ts';
import { BLOCKED, findHardTaint, findMissingLabel } from './constraints.ts';
import { countableColumn, countFitting, withRequestFloor } from './demand.ts';
import type { NodePicture } from './node-picture.ts';
import type { PlacementGroup } from './placement-group.ts';
import type { Request, Round } from './round.ts';

/**
 * Why a node does not take a task, the most lasting first: a label never comes by itself, a node
 * may become ready. `short` names a resource; the last are nodes with room that is not for
 * this task now: `gang` has it for some ranks only, `room` is for who asks without need.
 */
export type NodeReason =
  | { readonly kind: 'selector' | 'taint'; readonly what: string }
  | { readonly kind: 'unschedulable' | 'notReady' | 'coolDown' }
  | { readonly kind: 'short'; readonly resource: string }
  | { readonly kind: 'reserved' | 'imagePull' | 'gang' | 'room' };

export type ReasonCount = NodeReason & {
  readonly nodeCount: number;
  /** Of a resource that is short: the most that one of these nodes has free. */
  readonly bestAvailable?: number;
};

export interface Explanation {
  readonly nodeCount: number;
  /** Nodes that labels and taints allow and that take tasks now. */
  readonly eligibleCount: number;
  /** Eligible nodes that would have room if nothing ran there. */
  readonly fitsWhenEmptyCount: number;
  /** How many tasks, or ranks of a gang, these would take then. */
  readonly roomWhenEmpty: number;
  /** Each node stands under one reason, so the counts add up to all nodes; the largest first. */
  readonly reasons: readonly ReasonCount[];
}

/** What a group asks of labels, as words that are made once and not for each node. */
interface Asking {
  readonly group: PlacementGroup;
  readonly labelWords: ReadonlyMap<string, string>;
}

const askingOf = (group: PlacementGroup): Asking => ({
  group,
  labelWords: new Map(
    Object.entries(group.nodeSelector).map(([label, value]) => [label, `${label}=${value}`]),
  ),
});

function placeReason(
  { group, labelWords }: Asking,
  node: NodePicture,
  nowMs: number,
): NodeReason | undefined {
  const label = findMissingLabel(group, node);
  if (label !== undefined) return { kind: 'selector', what: labelWords.get(label)! };
  const taint = findHardTaint(group, node);
  if (taint !== undefined) return { kind: 'taint', what: formatTaint(taint) };
  if (!node.isSchedulable) return { kind: 'unschedulable' };
  if (node.notReadySinceMs !== undefined) return { kind: 'notReady' };
  if ((node.coolDownUntilMs ?? 0) > nowMs) return { kind: 'coolDown' };
  return undefined;
}

const formatTaint = ({ key, value }: { key: string; value: string }): string =>
  value === '' ? key : `${key}=${value}`;

/** Of several shortages the column of that which is the largest part of what was asked, or -1. */
function shortColumn(round: Round, { demand }: Request, slot: number): number {
  const { columns, amounts } = demand;
  const names = round.index.columnNames;
  let worst = -1;
  let worstPart = 0;
  for (let at = 0; at < columns.length; at += 1) {
    const column = columns[at]!;
    const part = 1 - round.free[column]![slot]! / amounts[at]!;
    const isTie = part === worstPart && worst >= 0 && names[column]! < names[worst]!;
    if (!(part > worstPart) && !isTie) continue;
    worst = column;
    worstPart = part;
  }
  return worst;
}

/** Why a node with room is not for this task. */
function roomReason(round: Round, request: Request, slot: number): NodeReason {
  if (round.isKept(slot, request)) return { kind: 'reserved' };
  if (!round.mayPull(slot, request)) return { kind: 'imagePull' };
  return { kind: request.gang === undefined ? 'room' : 'gang' };
}

const whatOf = (reason: NodeReason): string =>
  'what' in reason ? reason.what : 'resource' in reason ? reason.resource : '';

const wordOf = (reason: NodeReason): string => `${reason.kind} ${whatOf(reason)}`;

/** Counts nodes by reason; shortages, by far the most, in numbers alone. */
class Tally {
  readonly #names: readonly string[];
  readonly #shortCounts: number[];
  readonly #mostFree: number[];
  /** By kind, then by what: a word of both for each node took half of the time. */
  readonly #others = new Map<string, Map<string, { reason: NodeReason; nodeCount: number }>>();

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#shortCounts = names.map(() => 0);
    this.#mostFree = names.map(() => 0);
  }

  addShort(column: number, available: number): void {
    this.#shortCounts[column]! += 1;
    if (available > this.#mostFree[column]!) this.#mostFree[column] = available;
  }

  add(reason: NodeReason): void {
    let ofKind = this.#others.get(reason.kind);
    if (ofKind === undefined) this.#others.set(reason.kind, (ofKind = new Map()));
    const before = ofKind.get(whatOf(reason));
    if (before === undefined) ofKind.set(whatOf(reason), { reason, nodeCount: 1 });
    else before.nodeCount += 1;
  }

  reasons(): ReasonCount[] {
    const short = this.#names.map((resource, column) => ({
      kind: 'short' as const,
      resource,
      nodeCount: this.#shortCounts[column]!,
      bestAvailable: this.#mostFree[column]!,
    }));
    const others = [...this.#others.values()]
      .flatMap((ofKind) => [...ofKind.values()])
      .map(({ reason, nodeCount }) => ({ ...reason, nodeCount }));
    return [...short.filter(({ nodeCount }) => nodeCount > 0), ...others].toSorted(
      (a, b) => b.nodeCount - a.nodeCount || (wordOf(a) < wordOf(b) ? -1 : 1),
    );
  }
}

/** Why one more task of this group finds no node: a look at every node, for the few who ask. */
export function explainGroup(round: Round, group: PlacementGroup): Explanation {
  const request = round.requestAt(new Asked(round, [group]), 0);
  const asking = askingOf(group);
  const tally = new Tally(round.index.columnNames);
  let eligibleCount = 0;
  let fitsWhenEmptyCount = 0;
  let roomWhenEmpty = 0;
  for (const slot of round.index.slots) {
    const isOpen = round.closed[slot] === 0 && request.constraint.at(slot) !== BLOCKED;
    const outside = isOpen
      ? undefined
      : placeReason(asking, round.index.nodeAt(slot), round.rules.nowMs);
    if (outside !== undefined) {
      tally.add(outside);
      continue;
    }
    eligibleCount += 1;
    const most = countFitting(request.demand, round.index.allocatable, slot);
    roomWhenEmpty += most;
    if (most > 0) fitsWhenEmptyCount += 1;
    const column = shortColumn(round, request, slot);
    if (column < 0) tally.add(roomReason(round, request, slot));
    else tally.addShort(column, round.free[column]![slot]!);
  }
  const nodeCount = round.index.slots.length;
  const reasons = tally.reasons();
  return { nodeCount, eligibleCount, fitsWhenEmptyCount, roomWhenEmpty, reasons };
}

const PHRASES = {
  unschedulable: 'cordoned',
  notReady: 'not ready',
  coolDown: 'cooling down after a failed start',
  reserved: 'kept for a larger task that waits longer',
  imagePull: 'without the image, while enough nodes pull it',
  gang: 'with room for some of the ranks, but not for all together',
  room: 'with room',
} as const;

const grouped = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ',');

/** `pods` and countable resources have no unit. */
function quantity(resource: string, amount: number): string {
  if (resource === 'pods' || resource.startsWith(countableColumn(''))) return String(amount);
  return formatQuantity(resource, amount).replace(/ (memory|scratch)$/, '');
}

const RESOURCE_WORDS: Readonly<Record<string, string>> = {
  cpuMillis: 'cores',
  memoryBytes: 'memory',
  scratchBytes: 'scratch',
  gpuCount: 'GPUs',
};

function askedFor(group: PlacementGroup, resource: string): number {
  const { podsPerTask } = group;
  const resources = withRequestFloor(group.resources);
  if (resource === 'pods') return podsPerTask;
  const prefix = countableColumn('');
  if (resource.startsWith(prefix)) return resources.countable[resource.slice(prefix.length)] ?? 0;
  return resources[resource as 'cpuMillis' | 'memoryBytes' | 'scratchBytes' | 'gpuCount'];
}

function phrase(group: PlacementGroup, reason: ReasonCount): string {
  const count = grouped(reason.nodeCount);
  if (reason.kind === 'taint') return `${count} tainted ${reason.what}`;
  if (reason.kind === 'selector') return `${count} without the label ${reason.what}`;
  if (reason.kind !== 'short') return `${count} ${PHRASES[reason.kind]}`;
  const { resource, bestAvailable = 0 } = reason;
  const word = RESOURCE_WORDS[resource] ?? resource.replace(countableColumn(''), '');
  const [free, asked] = [bestAvailable, askedFor(group, resource)];
  return `${count} short of ${word} (most free: ${quantity(resource, free)} of ${quantity(resource, asked)})`;
}

/** One sentence for a person: `3,000 nodes: 2,400 short of memory (most free: …), 600 not ready`. */
export function formatExplanation(group: PlacementGroup, explanation: Explanation): string {
  const { nodeCount, reasons } = explanation;
  const nodes = `${grouped(nodeCount)} node${nodeCount === 1 ? '' : 's'}`;
  if (nodeCount === 0) return 'there is no node';
  return `${nodes}: ${reasons.map((reason) => phrase(group, reason)).join(', ')}`;
}
