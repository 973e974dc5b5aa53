import { Command, CommanderError } from 'commander';
import { CliError, EXIT } from './output.ts';

/** Each group's code is loaded only when one of its commands runs: starting stays quick. */
const program = new Command('majorana')
  .description('Runs 1 to 1,000,000 calculations to completion, on this machine and beyond.')
  .version('0.1.0')
  .showHelpAfterError('(add --help for the options)')
  .exitOverride()
  .addHelpText(
    'after',
    `
Examples:
  majorana demo                                   a real conformer search, start to figure
  majorana up --detach                            start the product on this machine
  majorana submit --array 0-99 -- echo "{index}"  100 tasks, one job
  majorana wait job_1 && majorana results job_1 -o out
  majorana why job_1.17                           why it waits, or why it failed

Exit codes: 0 well, 1 a job failed, 2 wrong use, 3 not found, 4 server unreachable, 5 refused.`,
  );

async function main(): Promise<void> {
  const [{ addServiceCommands }, { addSubmitCommand }, { addJobCommands }] = await Promise.all([
    import('./commands/service.ts'),
    import('./commands/submit.ts'),
    import('./commands/jobs.ts'),
  ]);
  addServiceCommands(program);
  addSubmitCommand(program);
  addJobCommands(program);
  for (const command of program.commands) command.exitOverride().copyInheritedSettings(program);
  await program.parseAsync();
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const { name, status } = error as { name?: string; status?: number };
  if (error instanceof CliError) return error.exitCode;
  if (name !== 'ApiError') return EXIT.usage;
  if (status === 404) return EXIT.notFound;
  return status === 0 || status === 503 ? EXIT.unreachable : EXIT.refused;
}

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', () => process.exit(EXIT.ok));

try {
  await main();
} catch (error) {
  if (!(error instanceof CommanderError))
    process.stderr.write(`majorana: ${(error as Error).message}\n`);
  process.exitCode = exitCodeOf(error);
}
