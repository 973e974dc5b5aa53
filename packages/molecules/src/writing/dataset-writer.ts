import { chmodSync } from 'node:fs';
import path from 'node:path';
import type { CleanMolecule } from '../clean-record.ts';
import type { Outcome } from '../outcome.ts';
import type { SourceRecord } from '../source-record.ts';
import { csvRow, TextFile } from './text-file.ts';

const CLEANED_COLUMNS = [
  'id',
  'source',
  'line',
  'name',
  'smiles',
  'formula',
  'mass_dalton',
  'heavy_atoms',
  'rotatable_bonds',
  'rings',
  'aromatic_rings',
  'donors',
  'acceptors',
  'logp',
  'tpsa',
  'stereo_centres',
  'charge',
];
const RECORD_COLUMNS = [
  'file',
  'line',
  'fault_line',
  'name',
  'outcome',
  'id',
  'duplicate_of',
  'actions',
  'reasons',
  'begins_with',
];

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

/** A value of an SDF: no line of it may end the value or the record. */
const sdfValue = (text: string): string =>
  text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map((line) => (/^([>$]|M {2}END)/.test(line) ? ` ${line}` : line))
    .join('\n');

function cleanedCells(
  id: string,
  record: SourceRecord,
  { smiles, properties: p }: CleanMolecule,
): (string | number | undefined)[] {
  return [
    id,
    record.file,
    record.line,
    oneLine(record.name),
    smiles,
    p.formula,
    p.massDalton,
    p.heavyAtoms,
    p.rotatableBonds,
    p.rings,
    p.aromaticRings,
    p.donors,
    p.acceptors,
    p.logP,
    p.tpsa,
    p.stereoCentres,
    p.charge,
  ];
}

function sdfRecord(id: string, record: SourceRecord, clean: CleanMolecule): string {
  const cells = cleanedCells(id, record, clean);
  const computed = CLEANED_COLUMNS.map((name, at) => [name, cells[at]] as const);
  const ours = new Set(CLEANED_COLUMNS);
  const given = Object.entries(record.properties).filter(([name]) => !ours.has(name));
  const items = [...computed, ...given].map(([name, value]) => {
    const text = value === undefined ? '' : sdfValue(String(value));
    return `>  <${oneLine(name).replaceAll(/[<>]/g, '_')}>\n${text}${text === '' ? '' : '\n'}\n`;
  });
  return `${oneLine(record.name) || id}\n${clean.molfile}\n${items.join('')}$$$$\n`;
}

/** Writes the clean molecules and what became of each record. */
export class DatasetWriter {
  readonly #smi: TextFile;
  readonly #sdf: TextFile;
  readonly #cleaned: TextFile;
  readonly #records: TextFile;

  constructor(folder: string) {
    chmodSync(folder, 0o755);
    const open = (name: string): TextFile => new TextFile(path.join(folder, name));
    [this.#smi, this.#sdf, this.#cleaned, this.#records] = [
      open('cleaned.smi'),
      open('cleaned.sdf'),
      open('cleaned.csv'),
      open('records.csv'),
    ];
    this.#cleaned.write(csvRow(CLEANED_COLUMNS));
    this.#records.write(csvRow(RECORD_COLUMNS));
  }

  write(outcome: Outcome): void {
    const { record, clean, id } = outcome;
    const of = (isAction: boolean): string =>
      outcome.reasons
        .filter(({ code }) => outcome.isAction(code) === isAction)
        .map(({ code, words }) => `${code}: ${words}`)
        .join('; ');
    this.#records.write(
      csvRow([
        record.file,
        record.line,
        outcome.faultLine,
        oneLine(record.name),
        outcome.status,
        id ?? '',
        outcome.duplicateOf ?? '',
        of(true),
        of(false),
        record.text,
      ]),
    );
    if (clean === undefined || id === undefined) return;
    this.#smi.write(`${clean.smiles}\t${oneLine(record.name) || id}\n`);
    this.#cleaned.write(csvRow(cleanedCells(id, record, clean)));
    this.#sdf.write(sdfRecord(id, record, clean));
  }

  close(): void {
    for (const file of [this.#smi, this.#sdf, this.#cleaned, this.#records]) file.close();
  }
}
