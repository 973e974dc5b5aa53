import type { Argument, Command, Option } from 'commander';

/** What the server knows, asked only when a word needs it. */
export interface NameSource {
  readonly jobs: () => Promise<string[]>;
  readonly queues: () => Promise<string[]>;
  readonly clusters: () => Promise<string[]>;
}

export interface Candidates {
  readonly words: readonly string[];
  /** The shell's own names of files are wanted too. */
  readonly hasFiles: boolean;
}

const NONE: Candidates = { words: [], hasFiles: false };
const FILES: Candidates = { words: [], hasFiles: true };
/** Values of options that are several words with commas between them. */
const LISTS: Readonly<Record<string, readonly string[]>> = {
  kinds: ['exit', 'signal', 'memory', 'time', 'start'],
  signals: ['SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGKILL', 'SIGSEGV', 'SIGTERM'],
};

/** The words in the brackets of an argument or an option's value say what completes it. */
async function valuesOf(
  name: string,
  choices: readonly string[] | undefined,
  source: NameSource,
): Promise<Candidates> {
  if (choices !== undefined) return { words: choices, hasFiles: false };
  if (/^(jobs?|job\|task|task\|job|task|job\[.*)$/.test(name))
    return { words: await source.jobs(), hasFiles: false };
  if (name === 'cluster') return { words: await source.clusters(), hasFiles: false };
  if (name === 'queue') return { words: await source.queues(), hasFiles: false };
  if (Object.hasOwn(LISTS, name)) return { words: LISTS[name]!, hasFiles: false };
  return /^(file|folder|glob|words)/.test(name) ? FILES : NONE;
}

const optionValueName = (option: Option): string =>
  /[<[](.*)[>\]]$/.exec(option.flags)?.[1]?.replace(/\.\.\.$/, '') ?? '';

const findOption = (command: Command, word: string): Option | undefined =>
  command.options.find((option) => option.long === word || option.short === word);

const takesValue = (option: Option | undefined): boolean =>
  option !== undefined && (option.required || option.optional);

const argumentAt = (command: Command, position: number): Argument | undefined => {
  const list = command.registeredArguments;
  const last = list.at(-1);
  return list[position] ?? (last?.variadic === true ? last : undefined);
};

/** The command that the words name, and how many arguments follow it. */
function walk(
  root: Command,
  words: readonly string[],
): { command: Command; argumentCount: number } {
  let command = root;
  let argumentCount = 0;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!;
    if (word.startsWith('-')) {
      if (takesValue(findOption(command, word))) at += 1;
      continue;
    }
    const next =
      argumentCount === 0 ? command.commands.find((one) => one.name() === word) : undefined;
    if (next === undefined) argumentCount += 1;
    else command = next;
  }
  return { command, argumentCount };
}

const visibleCommands = (command: Command): string[] =>
  command
    .createHelp()
    .visibleCommands(command)
    .map((one) => one.name());

async function allCandidates(
  root: Command,
  before: readonly string[],
  word: string,
  source: NameSource,
): Promise<Candidates> {
  // Behind -- stands the user's own program: that is the shell's business.
  if (before.includes('--')) return FILES;
  const { command, argumentCount } = walk(root, before);
  const previous = findOption(command, before.at(-1) ?? '');
  if (takesValue(previous))
    return valuesOf(optionValueName(previous!), previous!.argChoices, source);
  if (word.startsWith('-')) {
    const words = command
      .createHelp()
      .visibleOptions(command)
      .flatMap(({ long }) => long ?? []);
    return { words, hasFiles: false };
  }
  if (argumentCount === 0 && command.commands.length > 0)
    return { words: visibleCommands(command), hasFiles: false };
  const argument = argumentAt(command, argumentCount);
  return argument === undefined ? NONE : valuesOf(argument.name(), argument.argChoices, source);
}

/**
 * What may stand where the last word is being typed. The ready-made library for commander
 * (@bomb.sh/tab 0.0.22) takes candidates only at once: it cannot wait for the server's job ids, and
 * offers commands behind `--` too.
 */
export async function complete(
  root: Command,
  words: readonly string[],
  source: NameSource,
): Promise<Candidates> {
  const word = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  // `--state=fa`: the value is a word of its own, behind its option.
  const joined = /^(--[^=]+)=(.*)$/.exec(word);
  const candidates =
    joined === null
      ? await allCandidates(root, before, word, source)
      : await allCandidates(root, [...before, joined[1]!], joined[2]!, source);
  const prefix = joined === null ? '' : `${joined[1]}=`;
  return {
    words: candidates.words.map((one) => prefix + one).filter((one) => one.startsWith(word)),
    hasFiles: candidates.hasFiles,
  };
}
