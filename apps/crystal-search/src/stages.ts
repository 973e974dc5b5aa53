import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { choice, need, numberOf, say, wholeOf, type Values } from './arguments.ts';
import { cluster, CLUSTER_DEFAULTS } from './cluster.ts';
import type { CrystalRecord } from './crystal.ts';
import { InputError } from './errors.ts';
import {
  readMolecules,
  readStage,
  writeStage,
  type PackingsFile,
  type RankedPacking,
} from './files.ts';
import { conformerOf, type Molecule } from './molecule.ts';
import {
  CHARGE_MODELS,
  CONFORMER_WINDOW_KJ_PER_MOL,
  MOLECULE_DEFAULTS,
  readConformers,
  readMolecule,
} from './molecule-input.ts';
import { POTENTIAL_NAMES } from './potential-tables.ts';
import { createRelaxer, RELAX_DEFAULTS, relaxRecord, type RelaxOptions } from './relax.ts';
import { checkExperiment, compareFile, writeReport } from './report.ts';
import { defaultSpaceGroups, search, type SearchOptions } from './search.ts';
import { timingOf, USD_PER_CORE_HOUR, type TimingFile } from './timing.ts';

/** Reads its files, writes its result, and says how many structures it handled. */
export type Stage = (paths: readonly string[], out: string, values: Values) => number;

/** A model by name, or a file with one number for each atom. */
function chargesOf(text: string | undefined) {
  const isModel = text === undefined || CHARGE_MODELS.some((name) => name === text);
  if (isModel) return { charges: choice(text, CHARGE_MODELS, MOLECULE_DEFAULTS.charges) };
  const given = readFileSync(text, 'utf8')
    .split(/[\s,]+/)
    .filter((word) => word !== '')
    .map(Number);
  return { charges: MOLECULE_DEFAULTS.charges, givenCharges: given };
}

function moleculesFrom(input: string, values: Values): Molecule[] {
  const options = {
    ...(values.name === undefined ? {} : { name: values.name }),
    ...chargesOf(values.charges),
    conformer: wholeOf(values, 'conformer', MOLECULE_DEFAULTS.conformer, 1),
    starts: wholeOf(values, 'starts', MOLECULE_DEFAULTS.starts, 1),
    optimise: values.optimise ?? MOLECULE_DEFAULTS.optimise,
  };
  const countMax = wholeOf(values, 'conformers', 1, 1);
  if (countMax === 1) return [readMolecule(input, options)];
  const windowKjPerMol = numberOf(values, 'conformer-window', CONFORMER_WINDOW_KJ_PER_MOL);
  return readConformers(input, options, { countMax, windowKjPerMol });
}

export function moleculeStage(paths: readonly string[], out: string, values: Values): number {
  const molecules = moleculesFrom(need(paths, 1, 'molecule')[0]!, values);
  const [first] = molecules;
  if (molecules.length === 1) writeStage(out, first!);
  else writeStage(out, { format: 'crystal-search/conformers/1', molecules });
  say(`${first!.name}: ${first!.atoms.length} atoms; charges ${first!.chargeModel}`);
  for (const { pointGroup, geometry } of molecules) say(`${pointGroup}: ${geometry}`);
  return molecules.length;
}

/** Of a flexible molecule, each conformer is searched as a rigid one, under ids of its own. */
function searchConformers(molecules: readonly Molecule[], options: SearchOptions) {
  const crystals: CrystalRecord[] = [];
  const tried: Record<string, number> = {};
  molecules.forEach((molecule, index) => {
    const conformer = index + 1;
    const found = search(molecule, options);
    const suffix = molecules.length > 1 ? `-c${conformer}` : '';
    for (const [group, count] of Object.entries(found.tried)) tried[`${group}${suffix}`] = count;
    for (const record of found.crystals) {
      crystals.push(
        molecules.length > 1 ? { ...record, id: `${record.id}${suffix}`, conformer } : record,
      );
    }
  });
  return { crystals, tried };
}

export function searchStage(paths: readonly string[], out: string, values: Values): number {
  const molecules = readMolecules(need(paths, 1, 'search')[0]!);
  const seed = wholeOf(values, 'seed', 1);
  const defaults = molecules.flatMap(({ pointGroup }) => defaultSpaceGroups(pointGroup));
  const groups =
    values.groups?.split(',').map(Number) ?? [...new Set(defaults)].toSorted((a, b) => a - b);
  if (groups.some((group) => !Number.isInteger(group) || group < 1 || group > 230)) {
    throw new InputError(`--groups ${values.groups}: numbers from 1 to 230`);
  }
  const report = searchConformers(molecules, {
    seed,
    spaceGroups: groups,
    perGroup: wholeOf(values, 'per-group', 100, 1),
    attemptsMax: 100,
    first: wholeOf(values, 'first', 0),
  });
  writeStage(out, {
    format: 'crystal-search/crystals/1',
    molecule: molecules[0]!.name,
    seed,
    ...report,
  });
  say(`${report.crystals.length} crystals in ${groups.length} space groups, seed ${seed}`);
  return report.crystals.length;
}

function relaxOptions(values: Values): RelaxOptions {
  return {
    ...RELAX_DEFAULTS,
    potential: choice(values.potential, POTENTIAL_NAMES, RELAX_DEFAULTS.potential),
    cutoffAngstrom: numberOf(values, 'cutoff', RELAX_DEFAULTS.cutoffAngstrom, 6),
  };
}

export function relaxStage(paths: readonly string[], out: string, values: Values): number {
  const [moleculePath, crystalsPath] = need(paths, 2, 'relax');
  const molecules = readMolecules(moleculePath!);
  const file = readStage(crystalsPath!, 'crystal-search/crystals/1');
  const from = wholeOf(values, 'from', 0);
  const count = wholeOf(values, 'count', file.crystals.length);
  const options = relaxOptions(values);
  const relaxers = new Map(molecules.map((one) => [one, createRelaxer(one, options)]));
  const crystals = file.crystals.slice(from, from + count).map((record) => {
    const molecule = conformerOf(molecules, record);
    return relaxRecord(molecule, relaxers.get(molecule)!, record);
  });
  writeStage(out, {
    format: 'crystal-search/relaxed/1',
    molecule: molecules[0]!.name,
    options,
    crystals,
  });
  const counts = new Map<string, number>();
  for (const { outcome } of crystals) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  say([...counts].map(([outcome, number]) => `${number} ${outcome}`).join(', ') || 'no crystals');
  return crystals.length;
}

export function clusterStage(paths: readonly string[], out: string, values: Values): number {
  const [moleculePath, ...rest] = need(paths, 2, 'cluster');
  const molecules = readMolecules(moleculePath!);
  const files = rest.map((path) => readStage(path, 'crystal-search/relaxed/1'));
  const options = files[0]!.options;
  if (files.some((file) => JSON.stringify(file.options) !== JSON.stringify(options))) {
    throw new InputError('the files were relaxed with different options');
  }
  const records = files.flatMap((file) => file.crystals);
  const packings = cluster(molecules, records, {
    ...CLUSTER_DEFAULTS,
    windowKjPerMol: numberOf(values, 'window', CLUSTER_DEFAULTS.windowKjPerMol),
    rmsdMaxAngstrom: numberOf(values, 'rmsd', CLUSTER_DEFAULTS.rmsdMaxAngstrom),
  });
  writeStage(out, {
    format: 'crystal-search/packings/1',
    molecule: molecules[0]!.name,
    options,
    relaxedCount: records.length,
    convergedCount: records.filter((record) => record.outcome === 'converged').length,
    packings,
  });
  say(`${packings.length} distinct packings of ${records.length} structures`);
  for (const packing of packings.slice(0, 10)) say(line(packing));
  return records.length;
}

export function line(packing: RankedPacking): string {
  const cell = packing.standardCell.map((value) => value.toFixed(3)).join(' ');
  return (
    `${String(packing.rank).padStart(4)} ${packing.energyKjPerMol.toFixed(2).padStart(9)} kJ/mol ` +
    `+${packing.aboveMinimumKjPerMol.toFixed(2)} ${packing.densityGramPerCm3.toFixed(3)} g/cm3 ` +
    `${packing.symmetrySymbol} ${cell} x${packing.hits}` +
    (packing.conformer === undefined ? '' : ` conformer ${packing.conformer}`)
  );
}

function writeReportFiles(
  paths: readonly string[],
  out: string,
  values: Values,
  timings: readonly TimingFile[],
): number {
  const [moleculePath, packingsPath] = need(paths, 2, 'report');
  const file = readStage(packingsPath!, 'crystal-search/packings/1');
  const { files, summary } = writeReport(readMolecules(moleculePath!), file, {
    top: wholeOf(values, 'top', 10),
    experiments: values.experiment ?? [],
    timings,
    usdPerCoreHour: numberOf(values, 'price', USD_PER_CORE_HOUR),
  });
  mkdirSync(out, { recursive: true });
  for (const [name, content] of files) writeFileSync(join(out, name), content);
  say(summary);
  return file.packings.length;
}

export function reportStage(paths: readonly string[], out: string, values: Values): number {
  const timings = (values.spent ?? []).map((path) => readStage(path, 'crystal-search/timing/1'));
  return writeReportFiles(paths, out, values, timings);
}

/** Lattice energies of experimental crystals, without any search. */
export function energyStage(paths: readonly string[], out: string, values: Values): number {
  const [moleculePath, ...cifs] = need(paths, 2, 'energy');
  const molecules = readMolecules(moleculePath!);
  const file: PackingsFile = {
    format: 'crystal-search/packings/1',
    molecule: molecules[0]!.name,
    options: relaxOptions(values),
    relaxedCount: 0,
    convergedCount: 0,
    packings: [],
  };
  const comparisons = cifs.map((path) => compareFile(path, molecules, file));
  writeFileSync(out, `${JSON.stringify(comparisons, null, 1)}\n`);
  for (const { name, atExperimentKjPerMol, relaxed, problem } of comparisons) {
    const energies = `${atExperimentKjPerMol?.toFixed(2)} kJ/mol as measured`;
    const after = `${relaxed?.symmetricKjPerMol.toFixed(2)} relaxed`;
    say(`${name}: ${problem ?? `${energies}, ${after}`}`);
  }
  return cifs.length;
}

/** Runs a stage and says what it took beyond what the process had taken before. */
function timed(name: string, before: readonly TimingFile[], stage: () => number): TimingFile {
  const now = timingOf(name, stage());
  const sum = (key: 'cpuSeconds' | 'wallSeconds') =>
    before.reduce((total, timing) => total + timing[key], 0);
  return {
    ...now,
    cpuSeconds: now.cpuSeconds - sum('cpuSeconds'),
    wallSeconds: now.wallSeconds - sum('wallSeconds'),
  };
}

/** All stages in one folder, under the names that the usage text gives them. */
export function runAll(paths: readonly string[], folder: string, values: Values): number {
  const [input] = need(paths, 1, 'run');
  mkdirSync(folder, { recursive: true });
  const at = (name: string) => join(folder, name);
  const [molecule, crystals, relaxed] = [
    at('molecule.json'),
    at('crystals.json'),
    at('relaxed.json'),
  ];
  const timings: TimingFile[] = [];
  const step = (name: string, stage: () => number) => timings.push(timed(name, timings, stage));
  step('molecule', () => moleculeStage([input!], molecule, values));
  for (const path of values.experiment ?? []) checkExperiment(path, readMolecules(molecule)[0]!);
  step('search', () => searchStage([molecule], crystals, values));
  step('relax', () => relaxStage([molecule, crystals], relaxed, values));
  step('cluster', () => clusterStage([molecule, relaxed], at('packings.json'), values));
  return writeReportFiles([molecule, at('packings.json')], at('report'), values, timings);
}
