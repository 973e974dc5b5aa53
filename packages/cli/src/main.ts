import { CommanderError } from 'commander';
import type { Issue } from './output.ts';
import { CliError, EXIT, note } from './output.ts';
import { buildProgram } from './program.ts';

interface ToldError {
  readonly code: string;
  readonly exitCode: number;
  readonly message: string;
  readonly issues?: readonly Issue[];
}

/** A file that cannot be read or written is the caller's to mend; anything else is ours. */
function systemOrFault(error: Error & { code?: unknown }): { code: string; exitCode: number } {
  const isSystem = typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code);
  return isSystem
    ? { code: String(error.code), exitCode: EXIT.usage }
    : { code: 'fault', exitCode: EXIT.fault };
}

function tell(error: Error): ToldError {
  const { message } = error;
  if (error instanceof CommanderError)
    return { code: error.code, exitCode: error.exitCode === 0 ? EXIT.ok : EXIT.usage, message };
  if (error instanceof CliError) {
    const { exitCode, issues } = error;
    return { code: 'cli', exitCode, message, ...(issues.length > 0 && { issues }) };
  }
  if (error.name !== 'ApiError') return { ...systemOrFault(error), message };
  const {
    status,
    code,
    issues = [],
  } = error as Error & {
    status: number;
    code: string;
    issues?: { where: string; what: string }[];
  };
  const exitCode =
    status === 404
      ? EXIT.notFound
      : status === 0 || status === 503
        ? EXIT.unreachable
        : EXIT.refused;
  return { code, exitCode, message, issues };
}

function asksForJson(words: readonly string[]): boolean {
  const separator = words.indexOf('--');
  return (separator < 0 ? words : words.slice(0, separator)).includes('--json');
}
const isJson = asksForJson(process.argv.slice(2));

/** For a program that asked for JSON the error is JSON too, on stderr. */
function report(error: Error): void {
  const told = tell(error);
  process.exitCode = told.exitCode;
  if (told.exitCode === EXIT.ok) return;
  if (isJson) note(JSON.stringify({ error: told }));
  else if (told.exitCode === EXIT.fault) note(`majorana: ${error.stack ?? told.message}`);
  // Commander has written its own message.
  else if (!(error instanceof CommanderError)) note(`majorana: ${told.message}`);
}

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', () => process.exit(EXIT.ok));

try {
  await buildProgram({ isQuiet: isJson }).parseAsync();
} catch (error) {
  report(error as Error);
}
