import { mkdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Where the product keeps everything on this machine; `MAJORANA_DATA` names another place. */
export function dataFolder(): string {
  const folder =
    process.env['MAJORANA_DATA'] ??
    path.join(
      process.env['XDG_DATA_HOME'] ?? path.join(os.homedir(), '.local', 'share'),
      'majorana',
    );
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return path.resolve(folder);
}

/** Written by the supervisor once everything runs. */
export interface RunningState {
  readonly supervisorPid: number;
  readonly url: string;
}

export function readRunning(data: string): RunningState | undefined {
  try {
    const state = JSON.parse(readFileSync(path.join(data, 'running.json'), 'utf8')) as RunningState;
    process.kill(state.supervisorPid, 0);
    return state;
  } catch {
    return undefined;
  }
}
