import { Molecule } from 'openchemlib';
import type { CleanMolecule } from '../clean-record.ts';
import type { Outcome, Status } from '../outcome.ts';
import { STATUSES } from '../outcome.ts';
import type { ReasonCode } from '../reasons.ts';

/** The page shows this many of each kind; records.csv has all. */
const EXAMPLES_MAX = 25;
const DRAWINGS_MAX = 24;

export interface Example {
  readonly where: string;
  readonly name: string;
  readonly words: string;
  readonly text: string;
}

export interface Drawing {
  readonly id: string;
  readonly name: string;
  readonly formula: string;
  readonly svg: string;
}

export interface Histogram {
  readonly title: string;
  readonly width: number;
  readonly valueOf: (clean: CleanMolecule) => number | undefined;
  readonly counts: Map<number, number>;
}

function histogram(title: string, width: number, valueOf: Histogram['valueOf']): Histogram {
  return { title, width, valueOf, counts: new Map() };
}

const add = <K>(counts: Map<K, number>, key: K, by = 1): void =>
  void counts.set(key, (counts.get(key) ?? 0) + by);

/** What the page tells, in memory that does not grow with the records. */
export class Tally {
  readonly statuses = Object.fromEntries(STATUSES.map((status) => [status, 0])) as Record<
    Status,
    number
  >;
  readonly files = new Map<string, Record<Status, number>>();
  readonly reasons = new Map<ReasonCode, { count: number; examples: Example[] }>();
  readonly elements = new Map<string, number>();
  readonly drawings: Drawing[] = [];
  readonly histograms: readonly Histogram[] = [
    histogram('Mass, Da', 25, ({ properties }) => properties.massDalton),
    histogram('Heavy atoms', 2, ({ properties }) => properties.heavyAtoms),
    histogram('Rotatable bonds', 1, ({ properties }) => properties.rotatableBonds),
    histogram('Rings', 1, ({ properties }) => properties.rings),
    histogram('Hydrogen-bond donors', 1, ({ properties }) => properties.donors),
    histogram('Hydrogen-bond acceptors', 1, ({ properties }) => properties.acceptors),
    histogram('logP', 0.5, ({ properties }) => properties.logP),
    histogram('Polar surface, Å²', 10, ({ properties }) => properties.tpsa),
  ];

  add(outcome: Outcome): void {
    const { record, status } = outcome;
    this.statuses[status]++;
    const file = this.files.get(record.file) ?? {
      kept: 0,
      changed: 0,
      duplicate: 0,
      rejected: 0,
      broken: 0,
    };
    file[status]++;
    this.files.set(record.file, file);
    for (const { code, words } of outcome.reasons) {
      const seen = this.reasons.get(code) ?? { count: 0, examples: [] };
      seen.count++;
      const where = `${record.file}:${outcome.faultLine ?? record.line}`;
      if (seen.examples.length < EXAMPLES_MAX)
        seen.examples.push({ where, name: record.name, words, text: record.text });
      this.reasons.set(code, seen);
    }
    if (outcome.clean !== undefined) this.#addMolecule(outcome.clean, outcome.id!, record.name);
  }

  #addMolecule(clean: CleanMolecule, id: string, name: string): void {
    for (const { counts, width, valueOf } of this.histograms) {
      const value = valueOf(clean);
      if (value !== undefined) add(counts, Math.floor(value / width));
    }
    for (const element of clean.elements) add(this.elements, element);
    if (this.drawings.length >= DRAWINGS_MAX) return;
    const molecule = Molecule.fromSmiles(clean.smiles, { noCoordinates: true });
    molecule.inventCoordinates();
    const options = {
      suppressChiralText: true,
      suppressESR: true,
      suppressCIPParity: true,
      autoCrop: true,
      autoCropMargin: 6,
    };
    const svg = molecule.toSVG(220, 160, `drawing-${id}`, options);
    this.drawings.push({ id, name, formula: clean.properties.formula, svg });
  }

  get total(): number {
    return STATUSES.reduce((sum, status) => sum + this.statuses[status], 0);
  }

  /** Records that stand in the cleaned dataset. */
  get cleaned(): number {
    return this.statuses.kept + this.statuses.changed;
  }
}
