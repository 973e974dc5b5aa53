import { RecordFault } from '../reasons.ts';
import { elementBySymbol, isMetal, valencesOf } from './elements.ts';
import type { Atom } from '../source-record.ts';

export interface Bonding {
  readonly bonds: readonly (readonly [number, number])[];
  readonly orders: readonly number[];
  readonly charges: readonly number[];
}

const BOND_TOLERANCE_ANGSTROM = 0.4;
const SAME_PLACE_ANGSTROM = 0.5;
/** Steps of the search for bond orders; C60 takes 90. */
const STEPS_MAX = 200_000;

/** Bonds by distance. Cells of a grid as wide as the longest bond, so it takes no square of time. */
export function bondsByDistance(atoms: readonly Atom[]): [number, number][] {
  const radius = atoms.map(({ element }) => elementBySymbol(element)!.radius);
  const width = 2 * Math.max(...radius) + BOND_TOLERANCE_ANGSTROM;
  const cells = new Map<string, number[]>();
  const bonds: [number, number][] = [];
  const cellOf = (atom: Atom) => atom.position.map((value) => Math.floor(value / width));
  atoms.forEach((atom, at) => {
    const [x, y, z] = cellOf(atom) as [number, number, number];
    for (let step = 0; step < 27; step++) {
      const key = `${x + (step % 3) - 1},${y + (Math.floor(step / 3) % 3) - 1},${z + Math.floor(step / 9) - 1}`;
      for (const other of cells.get(key) ?? []) {
        const length = Math.hypot(...atom.position.map((v, k) => v - atoms[other]!.position[k]!));
        if (length < SAME_PLACE_ANGSTROM)
          throw new RecordFault(
            'too-close',
            `atoms ${other + 1} and ${at + 1} are ${length.toFixed(2)} Å apart`,
          );
        const isPairOfH = atom.element === 'H' && atoms[other]!.element === 'H' && length > 0.9;
        if (!isPairOfH && length < radius[at]! + radius[other]! + BOND_TOLERANCE_ANGSTROM)
          bonds.push([other, at]);
      }
    }
    const own = `${x},${y},${z}`;
    cells.set(own, [...(cells.get(own) ?? []), at]);
  });
  return bonds;
}

interface Graph {
  readonly elements: readonly string[];
  readonly bonds: readonly (readonly [number, number])[];
  readonly neighbours: readonly (readonly number[])[];
}

/** Charges that the neighbours alone tell: ammonium, nitro and N-oxide, lone halide and alkali ions. */
function plainCharges({ elements, neighbours }: Graph): number[] {
  const charges = elements.map(() => 0);
  elements.forEach((element, atom) => {
    const around = neighbours[atom]!;
    const bareOxygens = around.filter((n) => elements[n] === 'O' && neighbours[n]!.length === 1);
    if ((element === 'N' || element === 'P') && around.length === 4) {
      const isOxide = bareOxygens.length > 0;
      if (element === 'N') charges[atom] = 1;
      if (element === 'N' && isOxide) charges[bareOxygens[0]!] = -1;
    }
    if (element === 'B' && around.length === 4) charges[atom] = -1;
    if (element === 'N' && around.length === 3 && bareOxygens.length >= 2) {
      charges[atom] = 1;
      charges[bareOxygens[0]!] = -1;
    }
    if (around.length === 0 && /^(F|Cl|Br|I)$/.test(element)) charges[atom] = -1;
  });
  return charges;
}

class Search {
  readonly orders: number[];
  readonly #graph: Graph;
  readonly #bondsOfAtom: number[][];
  #steps = 0;

  constructor(graph: Graph) {
    this.#graph = graph;
    this.orders = graph.bonds.map(() => 1);
    this.#bondsOfAtom = graph.elements.map(() => []);
    graph.bonds.forEach(([a, b], bond) => {
      this.#bondsOfAtom[a]!.push(bond);
      this.#bondsOfAtom[b]!.push(bond);
    });
  }

  #choices(atom: number, lacking: readonly number[]): number[] {
    return this.#bondsOfAtom[atom]!.filter((bond) => {
      const [a, b] = this.#graph.bonds[bond]!;
      return lacking[a]! > 0 && lacking[b]! > 0 && this.orders[bond]! < 3;
    });
  }

  /** Raises orders until no atom lacks a bond: the atom with the fewest choices first. */
  complete(lacking: number[]): boolean {
    let best: { count: number; bonds: number[] } | undefined;
    for (let atom = 0; atom < lacking.length; atom++) {
      if (lacking[atom]! <= 0) continue;
      const bonds = this.#choices(atom, lacking);
      if (best === undefined || bonds.length < best.count) best = { count: bonds.length, bonds };
      if (best.count <= 1) break;
    }
    if (best === undefined) return true;
    for (const bond of best.bonds) {
      if (++this.#steps > STEPS_MAX) return false;
      this.#raise(bond, lacking, 1);
      if (this.complete(lacking)) return true;
      this.#raise(bond, lacking, -1);
    }
    return false;
  }

  #raise(bond: number, lacking: number[], by: 1 | -1): void {
    const [a, b] = this.#graph.bonds[bond]!;
    this.orders[bond]! += by;
    lacking[a]! -= by;
    lacking[b]! -= by;
  }
}

function tryCharges(graph: Graph, charges: readonly number[], valence: readonly number[]) {
  const search = new Search(graph);
  const lacking = graph.elements.map((element, atom) =>
    isMetal(element) ? 0 : valence[atom]! - graph.neighbours[atom]!.length,
  );
  return search.complete(lacking) ? { orders: search.orders, charges } : undefined;
}

/** Acids that gave their proton away, one more at a time: the bare oxygens that share an atom. */
function* withAcidIons(graph: Graph, plain: readonly number[]): Generator<number[]> {
  yield [...plain];
  const { elements, neighbours } = graph;
  const charges = [...plain];
  for (const [atom] of elements.entries()) {
    const bare = neighbours[atom]!.filter(
      (n) => /^[OS]$/.test(elements[n]!) && neighbours[n]!.length === 1,
    );
    if (!/^[CSP]$/.test(elements[atom]!) || bare.length < 2) continue;
    if (elements[atom] === 'S' && bare.length < 3) continue;
    charges[bare[0]!] = -1;
    yield [...charges];
  }
}

/** Valences that leave room for the neighbours; first the one with a double bond to each bare oxygen. */
function valencesOfAtom(graph: Graph, charges: readonly number[], atom: number): number[] {
  const element = graph.elements[atom]!;
  if (isMetal(element)) return [0];
  const around = graph.neighbours[atom]!;
  const fit = (valencesOf(element, charges[atom]!) ?? [0]).filter((one) => one >= around.length);
  if (fit.length === 0) {
    throw new RecordFault(
      'impossible-valence',
      `${element} (atom ${atom + 1}) with ${around.length} neighbours`,
    );
  }
  const isBare = (other: number): boolean =>
    graph.elements[other] === 'O' && graph.neighbours[other]!.length === 1 && charges[other] === 0;
  const wanted = around.length + around.filter(isBare).length;
  const first = fit.find((one) => one >= wanted) ?? fit[0]!;
  return [first, ...fit.filter((one) => one !== first)];
}

/** The likely valence of every atom, then another one for one atom at a time. */
function* valenceChoices(graph: Graph, charges: readonly number[]): Generator<number[]> {
  const options = graph.elements.map((_, atom) => valencesOfAtom(graph, charges, atom));
  yield options.map((one) => one[0]!);
  for (const [atom, choice] of options.entries()) {
    for (const valence of choice.slice(1)) {
      yield options.map((one, other) => (other === atom ? valence : one[0]!));
    }
  }
}

/** Single, double and triple bonds for a geometry of which only the atoms are known, all hydrogens included. */
export function perceiveBonds(atoms: readonly Atom[]): Bonding {
  const all = bondsByDistance(atoms);
  const elements = atoms.map(({ element }) => element);
  const neighbours: number[][] = elements.map(() => []);
  // A metal's neighbours keep the valences they have without it.
  const bonds = all.filter(([a, b]) => !isMetal(elements[a]!) && !isMetal(elements[b]!));
  for (const [a, b] of bonds) {
    neighbours[a]!.push(b);
    neighbours[b]!.push(a);
  }
  const graph: Graph = { elements, bonds, neighbours };
  for (const charges of withAcidIons(graph, plainCharges(graph))) {
    for (const valence of valenceChoices(graph, charges)) {
      const found = tryCharges(graph, charges, valence);
      if (found === undefined) continue;
      const coordinated = all.filter(([a, b]) => isMetal(elements[a]!) || isMetal(elements[b]!));
      return {
        bonds: [...bonds, ...coordinated],
        orders: [...found.orders, ...coordinated.map(() => 1)],
        charges: found.charges,
      };
    }
  }
  throw new RecordFault(
    'bond-orders',
    'no set of single, double and triple bonds gives every atom its valence; hydrogens may be missing',
  );
}
