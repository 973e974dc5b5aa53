import type { Command } from 'commander';
import { addCleanCommand } from './clean.ts';

export function addDataCommands(program: Command): void {
  const data = program
    .command('data')
    .description('datasets: named, versioned files, and where each came from');
  addCleanCommand(data);
}
