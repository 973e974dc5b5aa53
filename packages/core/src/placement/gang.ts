import { countFitting } from './demand.ts';
import type { Gang } from './placement-group.ts';
import type { ImageState, Request, Round } from './round.ts';

interface Room {
  readonly slot: number;
  readonly count: number;
}

/** How many ranks each node would take; nodes of one domain together. */
function roomByDomain(round: Round, request: Request, gang: Gang): Map<string, Room[]> {
  const domains = new Map<string, Room[]>();
  const { topologyKey, ranksPerNodeMax = gang.size } = gang;
  for (const slot of round.listOf(request.constraint)) {
    if (round.closed[slot] === 1 || !round.isOpenTo(slot, request)) continue;
    const domain = topologyKey === undefined ? '' : round.index.nodeAt(slot).labels[topologyKey];
    const count = Math.min(ranksPerNodeMax, countFitting(request.demand, round.free, slot));
    if (domain === undefined || count === 0) continue;
    const rooms = domains.get(domain);
    if (rooms === undefined) domains.set(domain, [{ slot, count }]);
    else rooms.push({ slot, count });
  }
  return domains;
}

/** The roomiest nodes first; of those that would have to pull the image, as many as may. */
function sortRooms(rooms: readonly Room[], image: ImageState | undefined): Room[] {
  const sorted = rooms.toSorted((a, b) => b.count - a.count);
  if (image === undefined) return sorted;
  let pullsLeft = image.pullsLeft;
  return sorted.filter(({ slot }) => image.has[slot] === 1 || pullsLeft-- > 0);
}

const total = (rooms: readonly Room[]): number => rooms.reduce((sum, { count }) => sum + count, 0);

/** The fewest nodes: the roomiest ones, and for what then remains the one it fills best. */
function chooseNodes(sorted: readonly Room[], size: number): Room[] {
  const chosen: Room[] = [];
  let open = size;
  for (let at = 0; open > 0; at += 1) {
    const room = sorted[at]!;
    if (room.count < open) {
      chosen.push(room);
      open -= room.count;
      continue;
    }
    const last = sorted.findLast(({ count }) => count >= open)!;
    chosen.push({ slot: last.slot, count: open });
    open = 0;
  }
  return chosen;
}

/**
 * The nodes of one whole gang, or nothing. Ranks are alike, so counting how many each node takes
 * decides exactly whether the gang fits; among domains the one with least to spare is taken.
 */
export function findGangNodes(round: Round, request: Request, gang: Gang): Room[] | undefined {
  const rooms = [...roomByDomain(round, request, gang).entries()]
    .map(([domain, list]) => ({ domain, list: sortRooms(list, request.image) }))
    .map((one) => ({ ...one, count: total(one.list) }))
    .filter(({ count }) => count >= gang.size)
    .toSorted((a, b) => a.count - b.count || (a.domain < b.domain ? -1 : 1));
  return rooms[0] === undefined ? undefined : chooseNodes(rooms[0].list, gang.size);
}
