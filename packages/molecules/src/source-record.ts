import type { Fault, Reason } from './reasons.ts';

export interface Atom {
  readonly element: string;
  readonly position: readonly [number, number, number];
}

/** A molecule as its file gave it. */
export type Content =
  | { readonly kind: 'smiles'; readonly smiles: string }
  | { readonly kind: 'molfile'; readonly lines: readonly string[] }
  | { readonly kind: 'atoms'; readonly atoms: readonly Atom[]; readonly hydrogensExpected?: number }
  | { readonly kind: 'fault'; readonly fault: Fault };

/** One record of an input file, well or broken. */
export interface SourceRecord {
  readonly file: string;
  /** Line where the record begins, from 1. */
  readonly line: number;
  readonly name: string;
  readonly content: Content;
  /** How the record begins, for the table of what was done. */
  readonly text: string;
  readonly notes: readonly Reason[];
  readonly properties: Readonly<Record<string, string>>;
}

export const TEXT_LENGTH_MAX = 200;
export const beginningOf = (text: string): string =>
  // oxlint-disable-next-line no-control-regex
  text.slice(0, TEXT_LENGTH_MAX).replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '\uFFFD');
