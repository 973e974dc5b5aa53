import type { Resources } from '@majorana/core';

/** Amounts of resources, in numbers and in bars. */

export type Amount = 'cpuMillis' | 'memoryBytes' | 'gpuCount';

export const formats: Readonly<Record<Amount, (amount: number) => string>> = {
  cpuMillis: (millis) => String(Math.round(millis / 100) / 10),
  memoryBytes: (bytes) => String(Math.round(bytes / 2 ** 30)),
  gpuCount: String,
};

const FILLS = ['█', '▒'];

/** Of the parts one after another; each that is there is seen, however small. */
export function bar(parts: readonly number[], whole: number, width: number): string {
  let cells = '';
  for (const [at, part] of parts.entries()) {
    const exact = whole > 0 ? (part / whole) * width : 0;
    cells += FILLS[at]!.repeat(Math.max(part > 0 ? 1 : 0, Math.round(exact)));
  }
  return cells.slice(0, width).padEnd(width, '·');
}

/** `12/64` */
export const usedOf = (of: Amount, part: Resources, whole: Resources): string =>
  `${formats[of](part[of])}/${formats[of](whole[of])}`;

/** No column where there is no room for it, or nobody to look. */
export const barColumn = (
  of: Amount,
  part: Resources,
  whole: Resources,
  width: number,
): string[] => (width > 0 ? [bar([part[of]], whole[of], width)] : []);

/** What a person sees at once fits into the terminal; a program reads numbers. */
export function barWidthFor({ isTTY, columns }: NodeJS.WriteStream): number {
  if (!isTTY || columns < 80) return 0;
  return columns < 120 ? 6 : 16;
}
