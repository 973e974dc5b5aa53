import { examplesOf } from '@majorana/cli/command';
import type { Command, Option } from 'commander';

const escape = (text: string): string => text.replaceAll('|', String.raw`\|`);

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

const visibleOptions = (command: Command): Option[] =>
  command
    .createHelp()
    .visibleOptions(command)
    .filter((option) => option.long !== '--help');

function optionRow(option: Option): string {
  const choices = option.argChoices === undefined ? '' : `: ${option.argChoices.join(', ')}`;
  const { defaultValue } = option;
  const isSaid = option.description.includes('default');
  const hasDefault = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  const standard = hasDefault && !isSaid ? `; default ${defaultValue}` : '';
  return `| \`${escape(option.flags)}\` | ${escape(option.description + choices + standard)} |`;
}

function section(command: Command): string[] {
  const children = command
    .createHelp()
    .visibleCommands(command)
    .filter((one) => one.name() !== 'help');
  const title = `## ${pathOf(command)}`;
  const usage = `${pathOf(command)} ${command.usage()}`;
  const head = [title, '', `${command.description()}.`, ''];
  if (children.length > 0) return [...head, ...children.flatMap(section)];
  const examples = examplesOf(command);
  const words = command.registeredArguments.filter((argument) => argument.description !== '');
  return [
    ...head,
    '```',
    usage,
    '```',
    '',
    ...words.map((word) => `- \`${word.name()}\`: ${word.description}`),
    ...(words.length === 0 ? [] : ['']),
    '| option | meaning |',
    '| --- | --- |',
    ...visibleOptions(command).map(optionRow),
    '',
    '```sh',
    ...examples,
    '```',
    '',
  ];
}

/** `docs/reference/cli.md`, from the same tree of commands that runs. */
export function cliReference(program: Command): string {
  const commands = program
    .createHelp()
    .visibleCommands(program)
    .filter((one) => one.name() !== 'help');
  return [
    '# Command line',
    '',
    'Written by `npm run docs` from the commands themselves; do not edit.',
    '',
    'Every command has `--help` with examples and `--json`: the answer goes to standard output, progress and notes to standard error. With `--json` an error is one line of JSON on standard error. Ctrl-C on `wait`, `watch` and `logs -f` detaches and never cancels. [errors.md](errors.md) has the exit codes.',
    '',
    ...commands.flatMap(section),
  ].join('\n');
}
