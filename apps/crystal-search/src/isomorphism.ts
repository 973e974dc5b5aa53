/** A molecule as a graph: elements and bonds. */
export interface MoleculeGraph {
  elements: readonly string[];
  bonds: readonly (readonly [number, number])[];
}

/** More mappings than this (methyl groups make many) do not help to lay molecules on each other. */
const MAPPINGS_MAX = 2000;

function adjacency({ elements, bonds }: MoleculeGraph): Set<number>[] {
  const sets = elements.map(() => new Set<number>());
  for (const [a, b] of bonds) {
    sets[a]!.add(b);
    sets[b]!.add(a);
  }
  return sets;
}

/** Each atom after the first follows one that it is bonded to. */
function connectedOrder(graph: MoleculeGraph, neighbours: readonly Set<number>[]): number[] {
  const heavy = graph.elements.findIndex((element) => element !== 'H');
  const order = [Math.max(heavy, 0)];
  for (const atom of order) {
    for (const next of neighbours[atom]!) if (!order.includes(next)) order.push(next);
  }
  return order;
}

/**
 * All ways to name the atoms of `second` by those of `first` so that elements and bonds agree:
 * mapping[i] is the atom of `second` that stands for atom i of `first`.
 */
export function mappings(first: MoleculeGraph, second: MoleculeGraph): number[][] {
  if (first.elements.length !== second.elements.length) return [];
  const own = adjacency(first);
  const other = adjacency(second);
  const order = connectedOrder(first, own);
  const found: number[][] = [];
  const mapping: number[] = first.elements.map(() => -1);
  const used = new Set<number>();
  const fits = (atom: number, candidate: number) =>
    first.elements[atom] === second.elements[candidate] &&
    own[atom]!.size === other[candidate]!.size &&
    !used.has(candidate) &&
    [...own[atom]!].every(
      (neighbour) => mapping[neighbour]! < 0 || other[candidate]!.has(mapping[neighbour]!),
    );
  const extend = (depth: number): void => {
    if (found.length >= MAPPINGS_MAX) return;
    if (depth === order.length) {
      found.push([...mapping]);
      return;
    }
    const atom = order[depth]!;
    for (let candidate = 0; candidate < second.elements.length; candidate++) {
      if (!fits(atom, candidate)) continue;
      mapping[atom] = candidate;
      used.add(candidate);
      extend(depth + 1);
      mapping[atom] = -1;
      used.delete(candidate);
    }
  };
  if (order.length === first.elements.length) extend(0);
  return found;
}
