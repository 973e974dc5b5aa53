import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const bin = fileURLToPath(new URL('../../bin/majorana', import.meta.url));
const folder = mkdtempSync(path.join(os.tmpdir(), 'majorana-data-clean-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const run = (...args: string[]): Promise<Ended> =>
  new Promise((resolve) => {
    // Where nothing runs, whatever runs on this machine.
    const env = {
      ...process.env,
      MAJORANA_DATA: path.join(folder, 'data'),
      MAJORANA_URL: undefined,
    };
    execFile(bin, ['data', 'clean', ...args], { cwd: folder, env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });

writeFileSync(path.join(folder, 'some.smi'), 'CCO ethanol\nCC(C lost\nOCC again\n');
writeFileSync(path.join(folder, 'picture.smi'), Buffer.from([137, 80, 78, 71, 0, 0, 0, 0, 1, 2]));

test('a broken record is told with its line, and the others are cleaned', async () => {
  const { code, stdout, stderr } = await run('some.smi');
  expect(code).toBe(0);
  expect(stderr).toContain('some.smi:2: column 3: a "(" without its ")"');
  expect(stdout).toContain('1 kept, 0 changed, 1 duplicate, 0 rejected, 1 broken');
  expect(readFileSync(path.join(folder, 'cleaned/cleaned.smi'), 'utf8')).toBe('CCO\tethanol\n');
});

test('with --strict a broken record gives code 1, and the results are there', async () => {
  expect((await run('some.smi', '--strict', '-o', 'strict')).code).toBe(1);
  expect(existsSync(path.join(folder, 'strict/report.html'))).toBe(true);
});

test('a file that is no text is named, and gives no code 0', async () => {
  const { code, stderr } = await run('picture.smi', '-o', 'none');
  expect(code).toBe(2);
  expect(stderr).toContain('picture.smi:1: is no text file');
});

test('a folder with something else in it is left alone', async () => {
  const { code, stderr } = await run('some.smi', '-o', '.');
  expect(code).toBe(2);
  expect(stderr).toContain('which is no result of cleaning');
  expect(readdirSync(folder)).toContain('some.smi');
});

test('a file that is not there is an error before anything is written', async () => {
  const { code, stderr } = await run('absent.smi', '-o', 'absent');
  expect(code).toBe(2);
  expect(stderr).toContain('absent.smi: cannot be read (ENOENT)');
  expect(existsSync(path.join(folder, 'absent'))).toBe(false);
});

test('a dataset that nobody could store is an error before anything is cleaned', async () => {
  const { code, stderr } = await run('some.smi', '-o', 'unstored', '--put', 'molecules');
  expect(code).toBe(4);
  expect(stderr).toContain('majorana does not run here');
  expect(existsSync(path.join(folder, 'unstored'))).toBe(false);
});
