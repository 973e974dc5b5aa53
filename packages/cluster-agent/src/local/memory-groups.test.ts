import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import { isOwnProcess } from './memory-groups.ts';

test('what this process started is its own; what it did not is never moved', async () => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  expect(isOwnProcess(String(process.pid))).toBe(true);
  expect(isOwnProcess(String(child.pid))).toBe(true);
  expect(isOwnProcess('1')).toBe(false);
  expect(isOwnProcess('999999999')).toBe(false);
  child.kill('SIGKILL');
});
