/** FNV-1a with 32 bits (Fowler, Noll, Vo), from a given basis. */
export function hash32(text: string, basis: number): number {
  let value = basis;
  for (let at = 0; at < text.length; at += 1)
    value = Math.imul(value ^ text.charCodeAt(at), 0x01_00_01_93);
  return value;
}

export const BASIS = 0x81_1c_9d_c5;
/** Another basis gives other 32 bits; which one it is does not matter. */
export const SECOND_BASIS = 0x2f_3a_91_07;

const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');

/** 64 bits as 16 hexadecimal digits, from two halves: for names, not against forgery. */
export const hex64 = (high: number, low: number): string => hex(high) + hex(low);

export const hashText = (text: string): string =>
  hex64(hash32(text, SECOND_BASIS), hash32(text, BASIS));
