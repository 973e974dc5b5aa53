import { parametersOf, volumeOf } from './cell.ts';
import { elementOf } from './elements.ts';
import { spaceGroupOperations, spaceGroupType, type AtomicCell, type Operation } from './moyo.ts';
import { add, apply, norm, subtract, transpose, type Matrix3, type Vector3 } from './vector.ts';

const SAME_ATOM_ANGSTROM = 0.1;

function term(coefficient: number, axis: string): string {
  if (coefficient === 0) return '';
  return `${coefficient < 0 ? '-' : '+'}${axis}`;
}

/** A translation as a fraction with a crystallographic denominator. */
function fractionText(value: number): string {
  const part = value - Math.floor(value + 1e-6);
  for (const denominator of [1, 2, 3, 4, 6, 8, 12]) {
    const numerator = Math.round(part * denominator);
    if (Math.abs(part * denominator - numerator) < 1e-4) {
      return numerator === 0 ? '' : `+${numerator}/${denominator}`;
    }
  }
  return `+${part.toFixed(6)}`;
}

export function operationText({ rotation, translation }: Operation): string {
  const part = (row: Vector3, shift: number) => {
    const text = `${term(row[0], 'x')}${term(row[1], 'y')}${term(row[2], 'z')}${fractionText(shift)}`;
    return text.replace(/^\+/, '') || '0';
  };
  return [0, 1, 2].map((k) => part(rotation[k]!, translation[k]!)).join(',');
}

function isImage(at: Vector3, of: Vector3, operations: readonly Operation[], columns: Matrix3) {
  return operations.some(({ rotation, translation }) => {
    const d = subtract(add(apply(rotation, of), translation), at);
    const near: Vector3 = [
      d[0] - Math.round(d[0]),
      d[1] - Math.round(d[1]),
      d[2] - Math.round(d[2]),
    ];
    return norm(apply(columns, near)) < SAME_ATOM_ANGSTROM;
  });
}

/** Atoms that no operation makes from an earlier one. */
export function asymmetricUnit(cell: AtomicCell, operations: readonly Operation[]): number[] {
  const columns = transpose(cell.lattice);
  const kept: number[] = [];
  cell.fractional.forEach((at, index) => {
    const isKnown = kept.some(
      (other) =>
        cell.atomicNumbers[other] === cell.atomicNumbers[index] &&
        isImage(at, cell.fractional[other]!, operations, columns),
    );
    if (!isKnown) kept.push(index);
  });
  return kept;
}

/**
 * The name that other programs know the setting by: the full one of monoclinic groups, which says the
 * axis (P 1 21/c 1), and the short one of others. P 21/b 21/c 21/a instead of P b c a is read by few.
 */
function groupName(spaceGroup: number): string {
  const type = spaceGroupType(spaceGroup);
  const name = type.crystal_system === 'Monoclinic' ? type.hm_full : type.hm_short;
  return name.replaceAll('_', '');
}

export interface CifOptions {
  name: string;
  spaceGroup: number;
  comment: string;
}

/** A conventional cell in the standard setting of its space group. */
export function writeCif(cell: AtomicCell, options: CifOptions): string {
  const operations = spaceGroupOperations(options.spaceGroup);
  const [a, b, c, alpha, beta, gamma] = parametersOf(cell.lattice).map((value) => value.toFixed(5));
  const counts = new Map<string, number>();
  const atoms = asymmetricUnit(cell, operations).map((index) => {
    const { symbol } = elementOf(cell.atomicNumbers[index]!);
    const count = (counts.get(symbol) ?? 0) + 1;
    counts.set(symbol, count);
    const at = cell.fractional[index]!.map((value) => (value - Math.floor(value)).toFixed(6));
    return `${symbol}${count} ${symbol} ${at.join(' ')}`;
  });
  return `${[
    `# ${options.comment}`,
    `data_${options.name.replace(/[^\w.-]/g, '_')}`,
    `_cell_length_a ${a}`,
    `_cell_length_b ${b}`,
    `_cell_length_c ${c}`,
    `_cell_angle_alpha ${alpha}`,
    `_cell_angle_beta ${beta}`,
    `_cell_angle_gamma ${gamma}`,
    `_cell_volume ${volumeOf(cell.lattice).toFixed(4)}`,
    `_space_group_IT_number ${options.spaceGroup}`,
    `_space_group_name_H-M_alt '${groupName(options.spaceGroup)}'`,
    'loop_',
    '_space_group_symop_id',
    '_space_group_symop_operation_xyz',
    ...operations.map((operation, index) => `${index + 1} '${operationText(operation)}'`),
    'loop_',
    '_atom_site_label',
    '_atom_site_type_symbol',
    '_atom_site_fract_x',
    '_atom_site_fract_y',
    '_atom_site_fract_z',
    ...atoms,
  ].join('\n')}\n`;
}
