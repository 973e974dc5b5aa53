import { InputError } from './errors.ts';
import type { MoleculeGraph } from './isomorphism.ts';

/** Valences tried, the common one first. */
const VALENCES: Readonly<Record<string, readonly number[]>> = {
  H: [1],
  B: [3],
  C: [4],
  N: [3],
  O: [2],
  F: [1],
  Si: [4],
  P: [3, 5],
  S: [2, 4, 6],
  Cl: [1],
  Br: [1],
  I: [1],
};

export interface BondOrders {
  orders: number[];
  charges: number[];
}

interface Problem {
  graph: MoleculeGraph;
  bondsOfAtom: number[][];
  /** Bond order that each atom still lacks. */
  lacking: number[];
  orders: number[];
}

/** N with three neighbours of which two are terminal O: a nitro group, N+ and one O-. */
function nitroCharges(graph: MoleculeGraph, bondsOfAtom: number[][]): number[] {
  const charges = graph.elements.map(() => 0);
  const other = (bond: number, atom: number) => {
    const [a, b] = graph.bonds[bond]!;
    return a === atom ? b : a;
  };
  graph.elements.forEach((element, atom) => {
    if (element !== 'N' || bondsOfAtom[atom]!.length !== 3) return;
    const terminal = bondsOfAtom[atom]!.map((bond) => other(bond, atom)).filter(
      (next) => graph.elements[next] === 'O' && bondsOfAtom[next]!.length === 1,
    );
    if (terminal.length < 2) return;
    charges[atom] = 1;
    charges[terminal[0]!] = -1;
  });
  return charges;
}

/** Raises bond orders until no atom lacks any: depth first over the atoms. */
function complete(problem: Problem): boolean {
  const { graph, bondsOfAtom, lacking, orders } = problem;
  const open = lacking.findIndex((value) => value > 0);
  if (open < 0) return true;
  // The atom with the fewest choices first.
  const choices = (atom: number) =>
    bondsOfAtom[atom]!.filter((bond) => {
      const [a, b] = graph.bonds[bond]!;
      return lacking[a]! > 0 && lacking[b]! > 0 && orders[bond]! < 3;
    });
  let atom = open;
  lacking.forEach((value, index) => {
    if (value > 0 && choices(index).length < choices(atom).length) atom = index;
  });
  for (const bond of choices(atom)) {
    const [a, b] = graph.bonds[bond]!;
    orders[bond]!++;
    lacking[a]!--;
    lacking[b]!--;
    if (complete(problem)) return true;
    orders[bond]!--;
    lacking[a]!++;
    lacking[b]!++;
  }
  return false;
}

/** The valences each atom could have, the common one first. */
function valenceChoices(graph: MoleculeGraph, degrees: readonly number[], charges: number[]) {
  return graph.elements.map((element, atom) => {
    const valences = (VALENCES[element] ?? []).map((valence) => valence + charges[atom]!);
    const possible = valences.filter((value) => value >= degrees[atom]!);
    if (possible.length === 0) throw new InputError(`${element} with ${degrees[atom]} bonds`);
    return possible;
  });
}

/** Every way to give each atom one of its valences; only sulfur and phosphorus have a choice. */
function* assignments(choices: readonly number[][], atom = 0): Generator<number[]> {
  if (atom === choices.length) {
    yield [];
    return;
  }
  for (const rest of assignments(choices, atom + 1)) {
    for (const valence of choices[atom]!) yield [valence, ...rest];
  }
}

const ASSIGNMENTS_MAX = 1000;

/** Single, double and triple bonds for a neutral molecule of which only the bonds are known. */
export function bondOrders(graph: MoleculeGraph): BondOrders {
  const bondsOfAtom: number[][] = graph.elements.map(() => []);
  graph.bonds.forEach(([a, b], bond) => {
    bondsOfAtom[a]!.push(bond);
    bondsOfAtom[b]!.push(bond);
  });
  const degrees = bondsOfAtom.map((bonds) => bonds.length);
  const charges = nitroCharges(graph, bondsOfAtom);
  let tried = 0;
  for (const valences of assignments(valenceChoices(graph, degrees, charges))) {
    const lacking = valences.map((valence, atom) => valence - degrees[atom]!);
    const orders = graph.bonds.map(() => 1);
    if (complete({ graph, bondsOfAtom, lacking, orders })) return { orders, charges };
    if (++tried > ASSIGNMENTS_MAX) break;
  }
  throw new InputError('no assignment of double bonds satisfies every valence');
}
