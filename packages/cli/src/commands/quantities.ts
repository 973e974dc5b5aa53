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

/** `500M`, `4G`, `4GiB` or plain bytes; steps of 1024. */
export function parseBytes(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?$/i.exec(text);
  if (match === null)
    throw new CliError(`${option} ${text}: a size such as 500M or 4G is expected`);
  return Math.round(Number(match[1]) * BYTES[match[2]!.toUpperCase()]!);
}

/** `90s`, `30m`, `2h`, `1d`; a plain number is seconds. */
export function parseDuration(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text);
  if (match === null)
    throw new CliError(`${option} ${text}: a time such as 90s, 30m or 2h is expected`);
  return Math.round(Number(match[1]) * MS[match[2] ?? '']!);
}
