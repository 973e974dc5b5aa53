export const VERSION = '0.1.0';

/** Exit codes, the same for every command; `docs/reference/errors.md` has the table. */
export const EXIT = {
  ok: 0,
  /** A job or task ended otherwise than well. */
  jobFailed: 1,
  /** The command line or its files are wrong. */
  usage: 2,
  notFound: 3,
  /** The server does not run or does not answer. */
  unreachable: 4,
  refused: 5,
  /** A fault of this program. */
  fault: 70,
  /** Ctrl-C: what was watched goes on, and `&&` does not. */
  detached: 130,
} as const;

export interface Issue {
  readonly where: string;
  readonly what: string;
}

/** An error for a person: what is wrong, where, what to do; no stack. */
export class CliError extends Error {
  override name = 'CliError';
  readonly exitCode: number;
  /** For `--json`; a person has read them by then. */
  readonly issues: readonly Issue[];

  constructor(message: string, exitCode: number = EXIT.usage, issues: readonly Issue[] = []) {
    super(message);
    this.exitCode = exitCode;
    this.issues = issues;
  }
}

export const print = (text: string): void => void process.stdout.write(`${text}\n`);

let beforeNote = (): void => undefined;
/** Who draws on stderr leaves the line before something else is written there. */
export const setBeforeNote = (leaveLine: () => void): void => void (beforeNote = leaveLine);
export function note(text: string): void {
  beforeNote();
  process.stderr.write(`${text}\n`);
}
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));

/** The two ways to answer: for programs, and for people. */
export function answer(
  options: { readonly json?: boolean },
  value: unknown,
  text: () => string,
): void {
  if (options.json === true) printJson(value);
  else print(text());
}

/** Columns aligned by their widest cell. */
export function table(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headers.map((header, column) =>
    rows.reduce((widest, row) => Math.max(widest, row[column]?.length ?? 0), header.length),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(headers), ...rows.map(line)].join('\n');
}

export function formatDuration(ms: number): string {
  const seconds = Math.max(0, ms / 1000);
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800
    ? `${(seconds / 3600).toFixed(1)} h`
    : `${Math.round(seconds / 86_400)} d`;
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Three figures, of whatever size: a task may cost a fraction of a cent. */
export const formatFigure = (amount: number): string => String(Number(amount.toPrecision(3)));

export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

export const plural = (count: number, word: string): string =>
  `${count} ${word}${count === 1 ? '' : 's'}`;
