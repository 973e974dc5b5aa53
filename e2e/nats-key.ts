import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { cli } from './product.ts';

/** A key of the command's, and the user that the server is to know. */
export async function natsKey(file: string, ...whose: string[]): Promise<object> {
  const { stdout } = await promisify(execFile)(cli, ['nats-key', file, ...whose]);
  return JSON.parse(stdout) as object;
}
