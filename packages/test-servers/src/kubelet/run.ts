import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Runs a program to its end; what it wrote to stderr is in the error. */
export async function run(program: string, args: readonly string[]): Promise<string> {
  return (await execute(program, args)).stdout;
}
