import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';

export interface JsonOption {
  readonly json?: boolean;
}

export interface CommandText {
  /** Name and arguments, such as `job <job>`. The words in brackets say what completes them. */
  readonly usage: string;
  readonly description: string;
  readonly examples: readonly string[];
}

const examplesByCommand = new WeakMap<Command, readonly string[]>();

export const examplesOf = (command: Command): readonly string[] =>
  examplesByCommand.get(command) ?? [];

/** The one way to make a command: none is without a description, an example and --json. */
export function addCommand(parent: Command, text: CommandText, isDefault = false): Command {
  const command = parent
    .command(text.usage, { isDefault })
    .description(text.description)
    .option('--json', 'answer as JSON')
    .addHelpText('after', `\nExamples:\n${text.examples.map((line) => `  ${line}`).join('\n')}`);
  examplesByCommand.set(command, text.examples);
  return command;
}

export const collect = (value: string, before: readonly string[]): string[] => [...before, value];

/** Reads a number option; the error names the option. */
export function numberIn(min: number, max = Number.MAX_SAFE_INTEGER, isWhole = true) {
  return (text: string): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (value >= min && value <= max && (!isWhole || Number.isInteger(value))) return value;
    const range = max === Number.MAX_SAFE_INTEGER ? `from ${min}` : `from ${min} to ${max}`;
    throw new InvalidArgumentError(`A ${isWhole ? 'whole ' : ''}number ${range} is expected.`);
  };
}

/** Ctrl-C detaches from what is watched and cancels nothing; a second one ends at once. */
export function detachOnInterrupt(what: string): AbortSignal {
  const controller = new AbortController();
  process.once('SIGINT', () => {
    process.stderr.write(`\ndetached; ${what}\n`);
    controller.abort();
  });
  return controller.signal;
}
