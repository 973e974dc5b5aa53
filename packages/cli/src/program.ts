import { Command } from 'commander';
import { addAgentCommands } from './commands/agents.ts';
import { addCompletionCommands } from './commands/completion.ts';
import { addDataCommands } from './commands/data.ts';
import { addJobCommands } from './commands/jobs.ts';
import { addNatsCommands } from './commands/nats.ts';
import { addQueueCommands } from './commands/queues.ts';
import { addServiceCommands } from './commands/service.ts';
import { addSubmitCommand } from './commands/submit.ts';
import { addTaskCommands } from './commands/tasks.ts';
import { addTokenCommands } from './commands/tokens.ts';
import { addWaitCommands } from './commands/wait.ts';
import { addWorkflowCommands } from './commands/workflows.ts';
import { VERSION } from './output.ts';

function inheritSettings(command: Command): void {
  for (const child of command.commands) {
    child.exitOverride().copyInheritedSettings(command);
    inheritSettings(child);
  }
}

/**
 * The whole tree of commands. What a command needs to act is loaded when it acts. `isQuiet`: what is
 * wrong with the command line is thrown and not printed.
 */
export function buildProgram({ isQuiet = false } = {}): Command {
  const program = new Command('majorana')
    .configureOutput(isQuiet ? { writeErr: () => undefined } : {})
    .description('Runs 1 to 1,000,000 calculations to completion, on this machine and beyond.')
    .version(VERSION)
    .showHelpAfterError('(add --help for the options)')
    .exitOverride()
    .addHelpText(
      'after',
      `
Examples:
  majorana demo                                   benzene's crystal structure from its SMILES
  majorana up --detach                            start the product on this machine
  majorana submit --array 0-99 -- echo "{index}"  100 tasks, one job
  majorana wait job_1 && majorana results job_1 -o out
  majorana why job_1.17                           why it waits, or why it failed

Exit codes: 0 well, 1 a job failed, 2 wrong use, 3 not found, 4 server unreachable, 5 refused,
70 a fault of majorana itself, 130 detached by Ctrl-C.`,
    );
  addServiceCommands(program);
  addSubmitCommand(program);
  addJobCommands(program);
  addTaskCommands(program);
  addWaitCommands(program);
  addWorkflowCommands(program);
  addDataCommands(program);
  addQueueCommands(program);
  addAgentCommands(program);
  addTokenCommands(program);
  addNatsCommands(program);
  addCompletionCommands(program);
  inheritSettings(program);
  return program;
}
