/**
 * What is said, made fit to be kept: a database keeps no NUL in text and no half of a surrogate
 * pair, its indexes hold 2,704 bytes of a row, and a terminal obeys control characters. Whoever
 * said more would fail the transaction that everybody's news is in.
 */
export const REASON_BYTES_MAX = 2048;
export const PATH_BYTES_MAX = 2048;

// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

const bytesOf = (codePoint: number): number => {
  if (codePoint < 0x80) return 1;
  if (codePoint < 0x800) return 2;
  return codePoint < 0x10000 ? 3 : 4;
};

/** As UTF-8; half a surrogate pair counts as the sign that is written for it. */
export function utf8Bytes(text: string): number {
  let bytes = 0;
  for (const sign of text) bytes += bytesOf(sign.codePointAt(0)!);
  return bytes;
}

/** As much of its beginning as may be kept. */
function clip(text: string, bytesMax: number): string {
  let bytes = 0;
  let length = 0;
  for (const sign of text) {
    bytes += bytesOf(sign.codePointAt(0)!);
    if (bytes > bytesMax) return text.slice(0, length);
    length += sign.length;
  }
  return text;
}

export const isKeptText = (text: string): boolean => !text.includes('\0') && text.isWellFormed();

export const keptReason = (text: string): string =>
  clip(text.toWellFormed().replaceAll(CONTROL, '\uFFFD'), REASON_BYTES_MAX);

export const isKeptPath = (path: string): boolean =>
  isKeptText(path) && utf8Bytes(path) <= PATH_BYTES_MAX;
