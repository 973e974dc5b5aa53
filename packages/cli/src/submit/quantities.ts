import { CliError } from '../output.ts';

const BYTES: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };
const MS: Record<string, number> = {
  ms: 1,
  '': 1000,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

function safe(option: string, text: string, value: number): number {
  if (Number.isSafeInteger(value)) return value;
  throw new CliError(`${option} ${text}: more than ${Number.MAX_SAFE_INTEGER} cannot be counted`);
}

/** `500M`, `4G`, `4GiB` or plain bytes; steps of 1024. */
export function parseBytes(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?$/i.exec(text);
  if (match === null)
    throw new CliError(`${option} ${text}: a size such as 500M or 4G is expected`);
  return safe(option, text, Math.round(Number(match[1]) * BYTES[match[2]!.toUpperCase()]!));
}

/** `90s`, `30m`, `2h`, `1d`, `1h30m`; a plain number is seconds. */
export function parseDuration(option: string, text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)?/g)];
  const isWhole = parts.length > 0 && parts.map(([part]) => part).join('') === text;
  // A number without unit is seconds only when it stands alone: 1h30 could mean anything.
  const hasUnits = parts.length === 1 || parts.every((part) => part[2] !== undefined);
  if (!isWhole || !hasUnits)
    throw new CliError(`${option} ${text}: a time such as 90s, 30m, 2h or 1h30m is expected`);
  const total = parts.reduce((sum, part) => sum + Number(part[1]) * MS[part[2] ?? '']!, 0);
  return safe(option, text, Math.round(total));
}

/** Cores as people write them, also fractions: 0.5 is 500 thousandths. */
export function parseCores(option: string, text: string): number {
  const cpuMillis = /^\d+(?:\.\d+)?$/.test(text) ? Math.round(Number(text) * 1000) : 0;
  if (cpuMillis < 1)
    throw new CliError(`${option} ${text}: a number above 0 is expected, such as 4 or 0.5`);
  return safe(option, text, cpuMillis);
}

/** `NAME=VALUE`, each name once. */
export function parsePairs(option: string, values: readonly string[]): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const text of values) {
    const at = text.indexOf('=');
    if (at < 1) throw new CliError(`${option} ${text}: NAME=VALUE is expected`);
    const name = text.slice(0, at);
    if (Object.hasOwn(pairs, name)) throw new CliError(`${option} ${name} is given twice`);
    pairs[name] = text.slice(at + 1);
  }
  return pairs;
}

/** `NAME=COUNT`. */
export function parseCounts(option: string, values: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    Object.entries(parsePairs(option, values)).map(([name, text]) => {
      if (!/^[1-9]\d{0,9}$/.test(text))
        throw new CliError(`${option} ${name}=${text}: a whole number from 1 is expected`);
      return [name, Number(text)];
    }),
  );
}

/** `a,b` given once or many times is one list. */
export const parseList = (values: readonly string[]): string[] =>
  values.flatMap((text) => text.split(',').map((part) => part.trim()));
