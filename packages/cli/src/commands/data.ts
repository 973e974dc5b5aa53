import type { Command } from 'commander';

export function addDataCommands(program: Command): void {
  program.command('data').description('datasets: named, versioned files, and where each came from');
}
