import { elementBySymbol } from './elements.ts';
import { RecordFault } from '../reasons.ts';

/** An atom of a SMILES, in the order written. */
export interface SmilesAtom {
  readonly element: string;
  readonly isAromatic: boolean;
  readonly isBracket: boolean;
  /** Hydrogens, as a bracket states them. */
  readonly hydrogens: number;
  readonly charge: number;
  /** Column, from 1. */
  readonly column: number;
}

const BRACKET =
  /^\[(\d{1,3})?(\*|[A-Z][a-z]?|as|se|te|b|c|n|o|p|s)(@(?:@|[A-Z]{2}\d{1,2})?)?(?:(H)(\d{0,2}))?(\+\d{1,2}|-\d{1,2}|\++|-+)?(?::\d{1,4})?\]/;
const ORGANIC = /^(Cl|Br|[BCNOPSFI*]|[bcnops])/;
const OTHER = /^(?:[-=#$:~/\\.]|%\d\d|%\(\d{1,5}\)|\d)/;

export const SMILES_LENGTH_MAX = 20_000;

function fault(column: number, words: string): RecordFault {
  return new RecordFault('broken-smiles', `column ${column}: ${words}`);
}

function chargeOf(text: string | undefined): number {
  if (text === undefined) return 0;
  const sign = text.startsWith('-') ? -1 : 1;
  return sign * (/\d/.test(text) ? Number(text.slice(1)) : text.length);
}

function readBracket(rest: string, column: number): { atom: SmilesAtom; length: number } {
  const match = BRACKET.exec(rest);
  if (match === null) {
    const shown = /^\[[^\]]{0,20}\]?/.exec(rest)![0];
    throw fault(column, `"${shown}" is no atom`);
  }
  const [all, , symbol = '', , h, count, charge] = match;
  if (symbol !== '*' && elementBySymbol(symbol) === undefined) {
    throw fault(column, `there is no element ${symbol}`);
  }
  const atom: SmilesAtom = {
    element: symbol === '*' ? '*' : elementBySymbol(symbol)!.symbol,
    isAromatic: /^[a-z]/.test(symbol),
    isBracket: true,
    hydrogens: h === undefined ? 0 : count === '' ? 1 : Number(count),
    charge: chargeOf(charge),
    column,
  };
  return { atom, length: all.length };
}

/** Opening and closing parentheses pair, and a branch holds an atom. */
class Branches {
  readonly #open: number[] = [];
  #previous = '(';

  see(token: string, column: number): void {
    if (token === '(') {
      if (/[(.=#$:/\\~-]/.test(this.#previous) && this.#previous.length === 1)
        throw fault(column, 'a branch must follow an atom');
      this.#open.push(column);
    } else if (token === ')') {
      if (this.#open.pop() === undefined) throw fault(column, 'a ")" without its "("');
      if (/^[(.=#$:/\\~-]$/.test(this.#previous))
        throw fault(column, 'an empty branch or a bond to nothing');
    }
    this.#previous = token;
  }

  end(): void {
    const column = this.#open.at(-1);
    if (column !== undefined) throw fault(column, 'a "(" without its ")"');
    if (/^[=#$:/\\~-]$/.test(this.#previous)) throw fault(0, 'ends in a bond to nothing');
  }
}

/** Openchemlib forgives much that is a lost character; this names what is wrong, and where. */
export function readSmilesAtoms(smiles: string): SmilesAtom[] {
  if (smiles.length > SMILES_LENGTH_MAX) {
    throw new RecordFault(
      'too-large',
      `a SMILES of ${smiles.length} characters; at most ${SMILES_LENGTH_MAX}`,
    );
  }
  if (smiles.includes('>')) throw new RecordFault('not-a-molecule', 'a reaction SMILES');
  const atoms: SmilesAtom[] = [];
  const branches = new Branches();
  for (let at = 0; at < smiles.length;) {
    const rest = smiles.slice(at, at + 40);
    const column = at + 1;
    let token: string;
    if (rest.startsWith('[')) {
      const { atom, length } = readBracket(rest, column);
      atoms.push(atom);
      token = rest.slice(0, length);
    } else {
      const organic = ORGANIC.exec(rest)?.[0];
      if (organic !== undefined) {
        const element = organic === '*' ? '*' : elementBySymbol(organic)!.symbol;
        atoms.push({
          element,
          isAromatic: /^[a-z]/.test(organic),
          isBracket: false,
          hydrogens: 0,
          charge: 0,
          column,
        });
      }
      token = organic ?? /^[()]/.exec(rest)?.[0] ?? OTHER.exec(rest)?.[0] ?? '';
      if (token === '') throw fault(column, `"${rest.charAt(0)}" has no meaning here`);
    }
    branches.see(token, column);
    at += token.length;
  }
  branches.end();
  return atoms;
}
