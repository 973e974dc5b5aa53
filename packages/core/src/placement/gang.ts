import type { Constraint } from './constraint.ts';
import { BLOCKED } from './constraints.ts';
import type { Demand } from './demand.ts';
import { countFitting } from './demand.ts';
import { cellsOf } from './free-grid.ts';
import type { ImageState } from './image-state.ts';
import type { Gang } from './placement-group.ts';
import { Rooms } from './rooms.ts';
import type { Request, Round } from './round.ts';

/** A node that takes so many ranks. */
export interface Room {
  readonly slot: number;
  readonly count: number;
}

/** Of more nodes than may pull its image a gang could never start: it does while no node pulls it. */
function pullsFor({ pullsMax, pullsLeft }: ImageState, size: number): number {
  const isFirst = pullsMax > 0 && pullsLeft === pullsMax;
  return isFirst ? Math.max(pullsMax, size) : Math.max(0, pullsLeft);
}

/** Of the nodes that would have to pull the image the roomiest remain, as many as may. */
function limitPulls(rooms: Rooms, { image }: Request, size: number): Rooms {
  if (image === undefined) return rooms;
  const most = pullsFor(image, size);
  const { slots, counts } = rooms;
  const pulling: number[] = [];
  for (let at = 0; at < rooms.length; at += 1) if (!image.nodes.has(slots[at]!)) pulling.push(at);
  if (pulling.length <= most) return rooms;
  const roomiest = pulling.toSorted((a, b) => counts[b]! - counts[a]!);
  const tooMany = new Set(roomiest.slice(most));
  return rooms.filter((at) => !tooMany.has(at));
}

/** How many nodes take how many ranks. */
function histogramOf({ counts, length }: Rooms, size: number): Int32Array {
  const nodesByCount = new Int32Array(size + 1);
  for (let at = 0; at < length; at += 1) nodesByCount[counts[at]!]! += 1;
  return nodesByCount;
}

/** Of nodes that take as many ranks those go first that have the image. */
function imageFirst(rooms: Rooms, { image }: Request): Rooms {
  if (image === undefined) return rooms;
  const { slots, counts } = rooms;
  const ordered = rooms.filter((at) => image.nodes.has(slots[at]!));
  for (let at = 0; at < rooms.length; at += 1)
    if (!image.nodes.has(slots[at]!)) ordered.add(slots[at]!, counts[at]!);
  return ordered;
}

/** The fewest nodes: the roomiest ones, and for what then remains the one it fills best. */
function chooseNodes(rooms: Rooms, size: number): Room[] {
  const { slots, counts, length } = rooms;
  const nodesByCount = histogramOf(rooms, size);
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
  let last = -1;
  const chosen: Room[] = [];
  for (let at = 0; at < length; at += 1) {
    const count = counts[at]!;
    if (wanted[count] === 0) continue;
    wanted[count]! -= 1;
    if (count === least && wanted[count] === 0) last = slots[at]!;
    else chosen.push({ slot: slots[at]!, count });
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

/** The domain with least to spare; undefined: none has room for all. */
function tightestOf(domains: readonly Rooms[], size: number): Rooms | undefined {
  let tightest: Rooms | undefined;
  let least = Infinity;
  for (const rooms of domains) {
    const { total } = rooms;
    if (total < size || total >= least) continue;
    tightest = rooms;
    least = total;
  }
  return tightest;
}

/** Finds the nodes of gangs. Between two calls it holds nothing of meaning. */
export class GangSearch {
  readonly #round: Round;
  /** How many ranks each node takes, by the rank of its name: most nodes are full, and take none. */
  readonly #counts: Int32Array;
  readonly #rooms = new Rooms();

  constructor(round: Round) {
    this.#round = round;
    this.#counts = new Int32Array(round.index.slots.length);
  }

  /**
   * The nodes of one whole gang, or nothing. Ranks are alike, so counting how many each node takes
   * decides exactly whether the gang fits; among domains the one with least to spare is taken.
   */
  find(request: Request, gang: Gang): Room[] | undefined {
    const round = this.#round;
    const holder = holderOf(round, request, gang);
    const demand = demandOfGang(request.demand, gang);
    if (holder.isRefused(demand, request.endsAtMs)) return undefined;
    const { size, topologyKey } = gang;
    const rooms = this.#roomsOf(request, gang);
    const domains = topologyKey === undefined ? [rooms] : rooms.split(round.domainsOf(topologyKey));
    const chosen = tightestOf(
      domains.map((own) => limitPulls(own, request, size)),
      size,
    );
    if (chosen !== undefined) return chooseNodes(imageFirst(chosen, request), size);
    holder.refuse(demand, round.failsSinceMs(request));
    return undefined;
  }

  /** The nodes that take any ranks, at most the whole gang each, by name. */
  #roomsOf(request: Request, { size, ranksPerNodeMax = size }: Gang): Rooms {
    const round = this.#round;
    const { grid } = round;
    const { constraint, demand } = request;
    const most = Math.min(size, ranksPerNodeMax);
    const count = (slot: number): void => {
      if (round.accepts(slot, request) && constraint.at(slot) !== BLOCKED)
        this.#counts[round.rank[slot]!] = Math.min(most, countFitting(demand, round.free, slot));
    };
    if (constraint.few === undefined) {
      for (const cell of cellsOf(demand.amounts[0]!, demand.amounts[1]!))
        for (let slot = grid.first(cell, true); slot >= 0; slot = grid.after(slot)) count(slot);
    } else constraint.few.forEach(count);
    return this.#listRooms();
  }

  #listRooms(): Rooms {
    const { slots } = this.#round.index;
    const [rooms, counts] = [this.#rooms, this.#counts];
    rooms.clear();
    for (let rank = 0; rank < slots.length; rank += 1)
      if (counts[rank]! > 0) rooms.add(slots[rank]!, counts[rank]!);
    counts.fill(0);
    return rooms;
  }
}
