import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cluster, CLUSTER_DEFAULTS } from './cluster.ts';
import { InputError } from './errors.ts';
import { readStage, writeStage, type PackingsFile } from './files.ts';
import type { Molecule } from './molecule.ts';
import { CHARGE_MODELS, MOLECULE_DEFAULTS, readMolecule } from './molecule-input.ts';
import { POTENTIAL_NAMES } from './potential-tables.ts';
import { refine } from './refine.ts';
import { createRelaxer, RELAX_DEFAULTS, relaxRecord, type RelaxOptions } from './relax.ts';
import { checkExperiment, compareFile, writeReport } from './report.ts';
import { defaultSpaceGroups, search } from './search.ts';

const USAGE = `crystal-search STAGE ...: crystal structures of one rigid molecule

  molecule INPUT -o molecule.json      SMILES, or .smi .mol .sdf .xyz .cjson
      --name TEXT --conformer 1 --starts 30 --charges mmff94|eeq|FILE --optimise
  search molecule.json -o crystals.json
      --seed 1 --per-group 100 --groups 2,14,19 --first 0
  relax molecule.json crystals.json -o relaxed.json
      --potential fit|w99 --cutoff 12 --from 0 --count N
  cluster molecule.json relaxed.json... -o packings.json
      --window 15 --rmsd 0.3
  refine molecule.json packings.json -o refined.json --top 10
  report molecule.json packings.json -o report/ --experiment FILE.cif --top 10
  energy molecule.json FILE.cif... -o energies.json
  run INPUT -o folder/                 all stages, with the options of each
`;

const OPTIONS = {
  out: { type: 'string', short: 'o' },
  name: { type: 'string' },
  conformer: { type: 'string' },
  starts: { type: 'string' },
  charges: { type: 'string' },
  optimise: { type: 'boolean' },
  seed: { type: 'string' },
  'per-group': { type: 'string' },
  groups: { type: 'string' },
  first: { type: 'string' },
  potential: { type: 'string' },
  cutoff: { type: 'string' },
  from: { type: 'string' },
  count: { type: 'string' },
  window: { type: 'string' },
  rmsd: { type: 'string' },
  top: { type: 'string' },
  experiment: { type: 'string', multiple: true },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

function numberOf(values: Values, key: keyof Values, fallback: number, min = 0): number {
  const text = values[key];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isFinite(value) || value < min) throw new InputError(`--${key} ${String(text)}`);
  return value;
}

function wholeOf(values: Values, key: keyof Values, fallback: number, min = 0): number {
  const value = numberOf(values, key, fallback, min);
  if (!Number.isInteger(value)) throw new InputError(`--${key} ${value}: give a whole number`);
  return value;
}

function choice<Name extends string>(
  text: string | undefined,
  names: readonly Name[],
  fallback: Name,
): Name {
  const found = names.find((name) => name === (text ?? fallback));
  if (!found) throw new InputError(`${text}: give one of ${names.join(', ')}`);
  return found;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

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

function moleculeStage(input: string, out: string, values: Values): Molecule {
  const molecule = readMolecule(input, {
    ...(values.name === undefined ? {} : { name: values.name }),
    ...chargesOf(values.charges),
    conformer: wholeOf(values, 'conformer', MOLECULE_DEFAULTS.conformer, 1),
    starts: wholeOf(values, 'starts', MOLECULE_DEFAULTS.starts, 1),
    optimise: values.optimise ?? MOLECULE_DEFAULTS.optimise,
  });
  writeStage(out, molecule);
  say(`${molecule.name}: ${molecule.atoms.length} atoms, ${molecule.pointGroup}`);
  say(`geometry ${molecule.geometry}; charges ${molecule.chargeModel}`);
  return molecule;
}

function searchStage(moleculePath: string, out: string, values: Values): void {
  const molecule = readStage(moleculePath, 'crystal-search/molecule/1');
  const seed = wholeOf(values, 'seed', 1);
  const groups = values.groups?.split(',').map(Number) ?? defaultSpaceGroups(molecule.pointGroup);
  if (groups.some((group) => !Number.isInteger(group) || group < 1 || group > 230)) {
    throw new InputError(`--groups ${values.groups}: numbers from 1 to 230`);
  }
  const report = search(molecule, {
    seed,
    spaceGroups: groups,
    perGroup: wholeOf(values, 'per-group', 100, 1),
    attemptsMax: 100,
    first: wholeOf(values, 'first', 0),
  });
  writeStage(out, {
    format: 'crystal-search/crystals/1',
    molecule: molecule.name,
    seed,
    ...report,
  });
  say(`${report.crystals.length} crystals in ${groups.length} space groups, seed ${seed}`);
}

function relaxOptions(values: Values): RelaxOptions {
  return {
    ...RELAX_DEFAULTS,
    potential: choice(values.potential, POTENTIAL_NAMES, RELAX_DEFAULTS.potential),
    cutoffAngstrom: numberOf(values, 'cutoff', RELAX_DEFAULTS.cutoffAngstrom, 6),
  };
}

function relaxStage(paths: readonly string[], out: string, values: Values): void {
  const [moleculePath, crystalsPath] = need(paths, 2, 'relax');
  const molecule = readStage(moleculePath!, 'crystal-search/molecule/1');
  const file = readStage(crystalsPath!, 'crystal-search/crystals/1');
  const from = wholeOf(values, 'from', 0);
  const count = wholeOf(values, 'count', file.crystals.length);
  const options = relaxOptions(values);
  const relaxer = createRelaxer(molecule, options);
  const chosen = file.crystals.slice(from, from + count);
  const crystals = chosen.map((record) => relaxRecord(molecule, relaxer, record));
  writeStage(out, {
    format: 'crystal-search/relaxed/1',
    molecule: molecule.name,
    options,
    crystals,
  });
  const counts = new Map<string, number>();
  for (const { outcome } of crystals) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  say([...counts].map(([outcome, number]) => `${number} ${outcome}`).join(', ') || 'no crystals');
}

function clusterStage(paths: readonly string[], out: string, values: Values): void {
  const [moleculePath, ...rest] = need(paths, 2, 'cluster');
  const molecule = readStage(moleculePath!, 'crystal-search/molecule/1');
  const files = rest.map((path) => readStage(path, 'crystal-search/relaxed/1'));
  const options = files[0]!.options;
  if (files.some((file) => JSON.stringify(file.options) !== JSON.stringify(options))) {
    throw new InputError('the files were relaxed with different options');
  }
  const records = files.flatMap((file) => file.crystals);
  const packings = cluster(molecule, records, {
    ...CLUSTER_DEFAULTS,
    windowKjPerMol: numberOf(values, 'window', CLUSTER_DEFAULTS.windowKjPerMol),
    rmsdMaxAngstrom: numberOf(values, 'rmsd', CLUSTER_DEFAULTS.rmsdMaxAngstrom),
  });
  writeStage(out, {
    format: 'crystal-search/packings/1',
    molecule: molecule.name,
    options,
    relaxedCount: records.length,
    convergedCount: records.filter((record) => record.outcome === 'converged').length,
    packings,
  });
  say(`${packings.length} distinct packings of ${records.length} structures`);
  for (const packing of packings.slice(0, 10)) say(line(packing));
}

function line(packing: PackingsFile['packings'][number]): string {
  const cell = packing.standardCell.map((value) => value.toFixed(3)).join(' ');
  return (
    `${String(packing.rank).padStart(4)} ${packing.energyKjPerMol.toFixed(2).padStart(9)} kJ/mol ` +
    `+${packing.aboveMinimumKjPerMol.toFixed(2)} ${packing.densityGramPerCm3.toFixed(3)} g/cm3 ` +
    `${packing.symmetrySymbol} ${cell} x${packing.hits}`
  );
}

function reportStage(paths: readonly string[], out: string, values: Values): void {
  const [moleculePath, packingsPath] = need(paths, 2, 'report');
  const molecule = readStage(moleculePath!, 'crystal-search/molecule/1');
  const file = readStage(packingsPath!, 'crystal-search/packings/1');
  const { files, summary } = writeReport(molecule, file, {
    top: wholeOf(values, 'top', 10),
    experiments: values.experiment ?? [],
  });
  mkdirSync(out, { recursive: true });
  for (const [name, content] of files) writeFileSync(join(out, name), content);
  say(summary);
}

function refineStage(paths: readonly string[], out: string, values: Values): void {
  const [moleculePath, packingsPath] = need(paths, 2, 'refine');
  const molecule = readStage(moleculePath!, 'crystal-search/molecule/1');
  const file = readStage(packingsPath!, 'crystal-search/packings/1');
  const refined = refine(molecule, file, wholeOf(values, 'top', 10));
  writeStage(out, refined);
  say(refined.refinement ?? 'not refined');
  const energyOf = (packing: PackingsFile['packings'][number]) => packing.refinedKjPerMol ?? 0;
  const known = refined.packings.filter((packing) => packing.refinedKjPerMol !== undefined);
  for (const packing of known.toSorted((a, b) => energyOf(a) - energyOf(b))) {
    say(`${line(packing)}  GFN1-xTB ${energyOf(packing).toFixed(2)} kJ/mol`);
  }
}

/** Lattice energies of experimental crystals, without any search. */
function energyStage(paths: readonly string[], out: string, values: Values): void {
  const [moleculePath, ...cifs] = need(paths, 2, 'energy');
  const molecule = readStage(moleculePath!, 'crystal-search/molecule/1');
  const file: PackingsFile = {
    format: 'crystal-search/packings/1',
    molecule: molecule.name,
    options: relaxOptions(values),
    relaxedCount: 0,
    convergedCount: 0,
    packings: [],
  };
  const comparisons = cifs.map((path) => compareFile(path, molecule, file));
  writeFileSync(out, `${JSON.stringify(comparisons, null, 1)}\n`);
  for (const { name, atExperimentKjPerMol, relaxed, problem } of comparisons) {
    const energies = `${atExperimentKjPerMol?.toFixed(2)} kJ/mol as measured`;
    const after = `${relaxed?.symmetricKjPerMol.toFixed(2)} relaxed`;
    say(`${name}: ${problem ?? `${energies}, ${after}`}`);
  }
}

function need(paths: readonly string[], count: number, stage: string): readonly string[] {
  if (paths.length < count) throw new InputError(`${stage}: ${count} input files are needed`);
  return paths;
}

/** All stages in one folder, under the names that the usage text gives them. */
function runAll(input: string, folder: string, values: Values): void {
  mkdirSync(folder, { recursive: true });
  const at = (name: string) => join(folder, name);
  const molecule = moleculeStage(input, at('molecule.json'), values);
  for (const path of values.experiment ?? []) checkExperiment(path, molecule);
  searchStage(at('molecule.json'), at('crystals.json'), values);
  relaxStage([at('molecule.json'), at('crystals.json')], at('relaxed.json'), values);
  clusterStage([at('molecule.json'), at('relaxed.json')], at('packings.json'), values);
  reportStage([at('molecule.json'), at('packings.json')], at('report'), values);
}

type Stage = (paths: readonly string[], out: string, values: Values) => void;

const STAGES: Readonly<Record<string, Stage>> = {
  molecule: (paths, out, values) => {
    moleculeStage(need(paths, 1, 'molecule')[0]!, out, values);
  },
  search: (paths, out, values) => searchStage(need(paths, 1, 'search')[0]!, out, values),
  relax: relaxStage,
  cluster: clusterStage,
  energy: energyStage,
  refine: refineStage,
  report: reportStage,
  run: (paths, out, values) => runAll(need(paths, 1, 'run')[0]!, out, values),
};

function main(args: string[]): void {
  const { values, positionals } = parseArgs({
    args,
    options: OPTIONS,
    allowPositionals: true,
  });
  const [name, ...paths] = positionals;
  if (values.help || name === undefined) {
    say(USAGE);
    return;
  }
  const stage = STAGES[name];
  if (!stage) throw new InputError(`${name}: no such stage\n${USAGE}`);
  if (values.out === undefined) throw new InputError(`${name}: where to? Give -o`);
  stage(paths, values.out, values);
}

// A reader that has seen enough (head, less) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  main(process.argv.slice(2));
} catch (error) {
  const { code } = error as NodeJS.ErrnoException;
  if (!(error instanceof InputError) && code === undefined) throw error;
  process.stderr.write(`crystal-search: ${(error as Error).message}\n`);
  process.exitCode = 2;
}
