import { mkdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { ProcessIdentity } from './process-identity.ts';
import { isAlive } from './process-identity.ts';

/** Where the product keeps everything on this machine; `MAJORANA_DATA` names another place. */
export function dataFolder(): string {
  const folder =
    process.env['MAJORANA_DATA'] ??
    path.join(
      process.env['XDG_DATA_HOME'] ?? path.join(os.homedir(), '.local', 'share'),
      'majorana',
    );
  return path.resolve(folder);
}

/** Made by whoever starts the product there, not by whoever only asks whether it runs. */
export const makeDataFolder = (folder: string): void =>
  void mkdirSync(folder, { recursive: true, mode: 0o700 });

/** Written by the supervisor once everything runs. */
export interface RunningState {
  readonly supervisor: ProcessIdentity;
  readonly url: string;
}

/** Undefined when nothing runs: a file that a killed supervisor left behind does not count. */
export function readRunning(data: string): RunningState | undefined {
  try {
    const state = JSON.parse(readFileSync(path.join(data, 'running.json'), 'utf8')) as RunningState;
    return isAlive(state.supervisor) ? state : undefined;
  } catch {
    return undefined;
  }
}
