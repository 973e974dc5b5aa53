/** How many structures a second one core relaxes: the search of a molecule, stage by stage. */
import { rigidCrystalOf } from '../src/crystal.ts';
import { MOLECULE_DEFAULTS, readMolecule } from '../src/molecule-input.ts';
import { createRelaxer, RELAX_DEFAULTS } from '../src/relax.ts';
import { defaultSpaceGroups, search } from '../src/search.ts';

const PER_GROUP = 20;
const SMILES = ['c1ccccc1', 'NC(N)=O', 'c1ccc2ccccc2c1', 'CC(=O)Oc1ccccc1C(=O)O'];

/** Processor time: other programs on the machine do not count. */
function seconds(work: () => void): number {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

function measure(smiles: string): string {
  const molecule = readMolecule(smiles, { ...MOLECULE_DEFAULTS, starts: 2 });
  const spaceGroups = defaultSpaceGroups(molecule.pointGroup);
  const options = { seed: 1, spaceGroups, perGroup: PER_GROUP, attemptsMax: 100, first: 0 };
  const { crystals } = search(molecule, options);
  const searchSeconds = seconds(() => search(molecule, { ...options, first: 100_000 }));
  const relaxer = createRelaxer(molecule, RELAX_DEFAULTS);
  let evaluations = 0;
  let converged = 0;
  const relaxAll = () => {
    for (const record of crystals) {
      const { minimum, outcome } = relaxer(rigidCrystalOf(record));
      evaluations += minimum.evaluations;
      if (outcome === 'converged') converged++;
    }
  };
  const relaxSeconds = seconds(relaxAll);
  return [
    smiles.padEnd(24),
    `${molecule.atoms.length} atoms`,
    `${crystals.length} crystals`,
    `search ${(crystals.length / searchSeconds).toFixed(0)}/s`,
    `relax ${(crystals.length / relaxSeconds).toFixed(1)}/s`,
    `${(evaluations / crystals.length).toFixed(0)} evaluations each`,
    `${((relaxSeconds / evaluations) * 1e6).toFixed(0)} us each`,
    `${converged} converged`,
  ].join('  ');
}

for (const smiles of SMILES) process.stdout.write(`${measure(smiles)}\n`);
