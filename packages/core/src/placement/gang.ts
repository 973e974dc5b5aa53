import type { Constraint } from './constraint.ts';
import { BLOCKED } from './constraints.ts';
import type { Demand } from './demand.ts';
import { countFitting } from './demand.ts';
import type { Gang } from './placement-group.ts';
import type { ImageState, Request, Round } from './round.ts';

export interface Room {
  readonly slot: number;
  readonly count: number;
}

/** How many ranks each node takes, by slot; at most the whole gang. */
function countRanks(round: Round, request: Request, gang: Gang): Int32Array {
  const { constraint, demand } = request;
  const most = Math.min(gang.size, gang.ranksPerNodeMax ?? gang.size);
  const counts = new Int32Array(round.index.size);
  for (const slot of constraint.few ?? round.index.slots) {
    if (!round.accepts(slot, request) || constraint.at(slot) === BLOCKED) continue;
    counts[slot] = Math.min(most, countFitting(demand, round.free, slot));
  }
  return counts;
}

/** Of more nodes than may pull its image a gang could never start: it does while no node pulls it. */
function pullsFor({ pullsMax, pullsLeft }: ImageState, size: number): number {
  const isFirst = pullsMax > 0 && pullsLeft === pullsMax;
  return isFirst ? Math.max(pullsMax, size) : Math.max(0, pullsLeft);
}

/** Of the nodes that would have to pull the image the roomiest remain, as many as may. */
function limitPulls(
  counts: Int32Array,
  slots: readonly number[],
  { image }: Request,
  pullsMax: number,
): void {
  if (image === undefined) return;
  const pulling = slots.filter((slot) => counts[slot]! > 0 && !image.nodes.has(slot));
  if (pulling.length <= pullsMax) return;
  const roomiest = pulling.toSorted((a, b) => counts[b]! - counts[a]!);
  for (const slot of roomiest.slice(pullsMax)) counts[slot] = 0;
}

/** How many nodes take how many ranks. */
function histogramOf(counts: Int32Array, slots: readonly number[], size: number): Int32Array {
  const nodesByCount = new Int32Array(size + 1);
  for (const slot of slots) nodesByCount[counts[slot]!]! += 1;
  return nodesByCount;
}

/** Of nodes that take as many ranks those go first that have the image. */
function imageFirst(slots: readonly number[], { image }: Request): readonly number[] {
  if (image === undefined) return slots;
  const [having, lacking]: [number[], number[]] = [[], []];
  for (const slot of slots) (image.nodes.has(slot) ? having : lacking).push(slot);
  return having.length === 0 ? slots : [...having, ...lacking];
}

/** The fewest nodes: the roomiest ones, and for what then remains the one it fills best. */
function chooseNodes(counts: Int32Array, slots: readonly number[], size: number): Room[] {
  const nodesByCount = histogramOf(counts, slots, size);
  const wanted = new Int32Array(size + 1);
  let open = size;
  for (let count = size; count > 0; count -= 1) {
    wanted[count] = Math.min(nodesByCount[count]!, Math.floor((open - 1) / count));
    open -= wanted[count]! * count;
    if (wanted[count]! < nodesByCount[count]!) break;
  }
  let least = open;
  while (nodesByCount[least] === wanted[least]) least += 1;
  wanted[least]! += 1;
  const chosen: Room[] = [];
  let last = -1;
  for (const slot of slots) {
    const count = counts[slot]!;
    if (count === 0 || wanted[count] === 0) continue;
    wanted[count]! -= 1;
    if (count === least && wanted[count] === 0) last = slot;
    else chosen.push({ slot, count });
  }
  return [...chosen, { slot: last, count: open }];
}

/** As columns of a demand: of two gangs the one with more ranks, fewer to a node, asks for more. */
const SIZE = -1;
const FEWEST_ON_A_NODE = -2;

/** What a gang asks for, to be remembered when it is refused. */
function demandOfGang(
  { columns, amounts }: Demand,
  { size, ranksPerNodeMax = size }: Gang,
): Demand {
  return {
    columns: [...columns, SIZE, FEWEST_ON_A_NODE],
    amounts: [...amounts, size, -ranksPerNodeMax],
  };
}

/** A refusal is remembered apart for an image, which few may pull, and for a label to stay within. */
function holderOf(round: Round, { constraint, image }: Request, { topologyKey }: Gang): Constraint {
  const here = image === undefined ? constraint : constraint.apart(image);
  return topologyKey === undefined ? here : here.apart(round.domainsOf(topologyKey));
}

/** The domain with least to spare, once pulls are limited; undefined: none has room for all. */
function tightestDomain(
  counts: Int32Array,
  domains: readonly (readonly number[])[],
  size: number,
): readonly number[] | undefined {
  let tightest: readonly number[] | undefined;
  let least = Infinity;
  for (const slots of domains) {
    let total = 0;
    for (const slot of slots) total += counts[slot]!;
    if (total < size || total >= least) continue;
    tightest = slots;
    least = total;
  }
  return tightest;
}

/**
 * The nodes of one whole gang, or nothing. Ranks are alike, so counting how many each node takes
 * decides exactly whether the gang fits; among domains the one with least to spare is taken.
 */
export function findGangNodes(round: Round, request: Request, gang: Gang): Room[] | undefined {
  const holder = holderOf(round, request, gang);
  const demand = demandOfGang(request.demand, gang);
  if (holder.isRefused(demand, request.endsAtMs)) return undefined;
  const { size, topologyKey } = gang;
  const domains =
    topologyKey === undefined ? [round.around(request.constraint)] : round.domainsOf(topologyKey);
  const counts = countRanks(round, request, gang);
  const { image } = request;
  const pullsMax = image === undefined ? 0 : pullsFor(image, size);
  for (const slots of domains) limitPulls(counts, slots, request, pullsMax);
  const slots = tightestDomain(counts, domains, size);
  if (slots !== undefined) return chooseNodes(counts, imageFirst(slots, request), size);
  holder.refuse(demand, round.failsSinceMs(request));
  return undefined;
}
