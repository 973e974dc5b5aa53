import os from 'node:os';
import type { OutcomeKind } from '@majorana/core';
import type { JobSpecInput } from '@majorana/protocol';
import { CliError } from '../output.ts';
import { parseBytes, parseDuration, parseList } from './quantities.ts';

export interface RetryOptions {
  readonly retries?: number | undefined;
  readonly retryOn: readonly string[];
  readonly retryExitCode: readonly string[];
  readonly retrySignal: readonly string[];
  readonly retryBackoff?: string | undefined;
  readonly retryBackoffMax?: string | undefined;
  readonly retryMemoryFactor?: number | undefined;
  readonly retryMemoryMax?: string | undefined;
}

/** The kinds of end as the command line names them. */
export const RETRY_KINDS = {
  exit: 'exit_code',
  signal: 'signal',
  memory: 'out_of_memory',
  time: 'time_limit',
  start: 'start_error',
} as const satisfies Record<string, OutcomeKind>;

function readKind(text: string): OutcomeKind {
  const kind = (RETRY_KINDS as Record<string, OutcomeKind>)[text];
  if (kind !== undefined && Object.hasOwn(RETRY_KINDS, text)) return kind;
  throw new CliError(
    `--retry-on ${text}: one of ${Object.keys(RETRY_KINDS).join(', ')} is expected`,
  );
}

function readExitCode(text: string): number {
  const code = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (code >= 1 && code <= 255) return code;
  throw new CliError(`--retry-exit-code ${text}: a number from 1 to 255 is expected`);
}

/** `SIGSEGV`, `segv` or `11`. */
export function readSignal(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) >= 1 && Number(text) <= 64) return Number(text);
  const name = text.toUpperCase();
  const number = os.constants.signals[
    (name.startsWith('SIG') ? name : `SIG${name}`) as NodeJS.Signals
  ] as number | undefined;
  if (number !== undefined) return number;
  throw new CliError(
    `--retry-signal ${text}: a signal is expected, such as SIGSEGV or 11 (1 to 64)`,
  );
}

/** A list of codes alone narrows retries to such ends; with --retry-on it only says which of them. */
function coveredKinds(options: RetryOptions): OutcomeKind[] {
  const on = parseList(options.retryOn).map(readKind);
  if (on.length > 0) return [...new Set(on)];
  return [
    ...(options.retryExitCode.length > 0 ? (['exit_code'] as const) : []),
    ...(options.retrySignal.length > 0 ? (['signal'] as const) : []),
  ];
}

function checkAgree(options: RetryOptions, kinds: readonly OutcomeKind[]): void {
  const needs: [string, boolean, OutcomeKind, string][] = [
    ['--retry-exit-code', options.retryExitCode.length > 0, 'exit_code', 'exit'],
    ['--retry-signal', options.retrySignal.length > 0, 'signal', 'signal'],
    ['--retry-memory-max', options.retryMemoryMax !== undefined, 'out_of_memory', 'memory'],
  ];
  for (const [option, isGiven, kind, word] of needs) {
    if (isGiven && kinds.length > 0 && !kinds.includes(kind))
      throw new CliError(`${option} has no effect: add ${word} to --retry-on`);
  }
  if (options.retryMemoryFactor !== undefined && options.retryMemoryMax === undefined)
    throw new CliError('--retry-memory-factor needs --retry-memory-max: up to how much');
}

/** The policy that the options say, or undefined when none is given. */
export function readRetry(options: RetryOptions): JobSpecInput['retry'] {
  const { retries, retryOn, retryExitCode, retrySignal, retryMemoryFactor } = options;
  const { retryBackoff, retryBackoffMax, retryMemoryMax } = options;
  const details = [retryBackoff, retryBackoffMax, retryMemoryFactor, retryMemoryMax];
  const hasDetails =
    retryOn.length + retryExitCode.length + retrySignal.length > 0 ||
    details.some((value) => value !== undefined);
  if (retries === undefined) {
    if (hasDetails) throw new CliError('--retry-… options need --retries N: how many new attempts');
    return undefined;
  }
  const on = coveredKinds(options);
  checkAgree(options, on);
  return {
    limit: retries,
    ...(on.length === 0 ? {} : { on }),
    ...(retryExitCode.length === 0
      ? {}
      : { exitCodes: parseList(retryExitCode).map(readExitCode) }),
    ...(retrySignal.length === 0 ? {} : { signals: parseList(retrySignal).map(readSignal) }),
    ...(retryBackoff === undefined
      ? {}
      : { backoffMs: parseDuration('--retry-backoff', retryBackoff) }),
    ...(retryBackoffMax === undefined
      ? {}
      : { backoffMsMax: parseDuration('--retry-backoff-max', retryBackoffMax) }),
    ...(retryMemoryFactor === undefined ? {} : { memoryFactor: retryMemoryFactor }),
    ...(retryMemoryMax === undefined
      ? {}
      : { memoryBytesMax: parseBytes('--retry-memory-max', retryMemoryMax) }),
  };
}
