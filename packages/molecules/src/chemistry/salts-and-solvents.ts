import type { Molecule } from 'openchemlib';
import { CanonizerUtil, Molecule as OclMolecule } from 'openchemlib';
import { atomsOf } from './openchemlib.ts';

/** Organic counter-ions and solvents that seldom are what a record is about, as neutral molecules. */
const KNOWN = `
acetic acid	CC(=O)O
formic acid	OC=O
trifluoroacetic acid	OC(=O)C(F)(F)F
oxalic acid	OC(=O)C(=O)O
malonic acid	OC(=O)CC(=O)O
succinic acid	OC(=O)CCC(=O)O
maleic or fumaric acid	OC(=O)C=CC(=O)O
tartaric acid	OC(=O)C(O)C(O)C(=O)O
malic acid	OC(=O)CC(O)C(=O)O
lactic acid	CC(O)C(=O)O
citric acid	OC(=O)CC(O)(CC(=O)O)C(=O)O
benzoic acid	OC(=O)c1ccccc1
methanesulfonic acid	CS(=O)(=O)O
triflic acid	OS(=O)(=O)C(F)(F)F
benzenesulfonic acid	OS(=O)(=O)c1ccccc1
toluenesulfonic acid	Cc1ccc(cc1)S(=O)(=O)O
camphorsulfonic acid	CC1(C)C2CCC1(CS(=O)(=O)O)C(=O)C2
carbonic acid	OC(=O)O
tromethamine	OCC(N)(CO)CO
meglumine	CNCC(O)C(O)C(O)C(O)CO
ethanolamine	NCCO
diethylamine	CCNCC
triethylamine	CCN(CC)CC
tetramethylammonium	C[N+](C)(C)C
tetrabutylammonium	CCCC[N+](CCCC)(CCCC)CCCC
choline	C[N+](C)(C)CCO
methanol	CO
ethanol	CCO
propan-1-ol	CCCO
propan-2-ol	CC(C)O
butan-1-ol	CCCCO
acetone	CC(C)=O
acetonitrile	CC#N
dichloromethane	ClCCl
chloroform	ClC(Cl)Cl
carbon tetrachloride	ClC(Cl)(Cl)Cl
diethyl ether	CCOCC
tetrahydrofuran	C1CCOC1
dioxane	C1COCCO1
ethyl acetate	CCOC(C)=O
dimethyl sulfoxide	CS(C)=O
dimethylformamide	CN(C)C=O
N-methylpyrrolidone	CN1CCCC1=O
benzene	c1ccccc1
toluene	Cc1ccccc1
pyridine	c1ccncc1
cyclohexane	C1CCCCC1
hexane	CCCCCC
pentane	CCCCC`;

/** Named by what they are in a flask, as their formula says less. */
const INORGANIC: Readonly<Record<string, string>> = {
  O: 'water',
  Cl: 'hydrogen chloride',
  Br: 'hydrogen bromide',
};
const HEAVY_ATOMS_MAX = 17;

let nameByKey: Map<string, string> | undefined;

const keyOf = (molecule: Molecule): string =>
  CanonizerUtil.getIDCode(molecule, CanonizerUtil.NOSTEREO);

function names(): Map<string, string> {
  nameByKey ??= new Map(
    KNOWN.trim()
      .split('\n')
      .map((row) => {
        const [name, smiles] = row.split('\t');
        return [keyOf(OclMolecule.fromSmiles(smiles!, { noCoordinates: true })), name!];
      }),
  );
  return nameByKey;
}

/** With the charges of acids and bases taken away; only to look the name up. */
function neutralCopy(molecule: Molecule): Molecule {
  const copy = molecule.getCompactCopy();
  for (const atom of atomsOf(copy)) {
    const isOnium = copy.getAtomCharge(atom) > 0 && molecule.getAllHydrogens(atom) === 0;
    if (!isOnium) copy.setAtomCharge(atom, 0);
  }
  return copy;
}

/** The name of a usual salt or solvent; undefined for every other molecule. */
export function knownComponent(molecule: Molecule): string | undefined {
  if (molecule.getAtoms() > HEAVY_ATOMS_MAX) return undefined;
  return INORGANIC[molecule.toIsomericSmiles()] ?? names().get(keyOf(neutralCopy(molecule)));
}
