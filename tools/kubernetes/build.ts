/** Builds the real servers that tests and benches run: `npm run kubernetes:build [name...]`. */
import { spawn } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import type { ProgramName } from '@majorana/test-servers';
import {
  cacheFolder,
  isBuilt,
  moduleFolder,
  otherKubernetes,
  pinnedFolder,
  PROGRAM_NAMES,
  programPath,
  PROGRAMS,
  programVersion,
} from '@majorana/test-servers';
import { findGo } from './go-command.ts';
import { writeModule } from './other-version.ts';

const PROGRESS_EVERY_MS = 15_000;

/** Kubernetes reads its own version from here; clients and kubelets compare it. */
function linkerFlags(name: ProgramName): string {
  if (PROGRAMS[name].folder !== 'kube') return '-s -w';
  const version = programVersion(name);
  const [major, minor] = version.split('.');
  const values = {
    gitVersion: `v${version}`,
    gitMajor: major,
    gitMinor: minor,
    gitTreeState: 'clean',
  };
  const settings = Object.entries(values).map(
    ([key, value]) => `-X k8s.io/component-base/version.${key}=${value}`,
  );
  return ['-s -w', ...settings].join(' ');
}

const goEnvironment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  CGO_ENABLED: '0',
  GOTOOLCHAIN: 'auto',
  GOFLAGS: '-mod=readonly',
});

/** Go says each package that it compiles; what it says otherwise is an error. */
function runGo(go: string, args: readonly string[], folder: string): Promise<void> {
  const child = spawn(go, args, {
    cwd: folder,
    env: goEnvironment(),
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const lines: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => lines.push(...text.split('\n')));
  const timer = setInterval(
    () => process.stdout.write(`  ${lines.length} packages compiled or fetched\n`),
    PROGRESS_EVERY_MS,
  );
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(timer);
      if (code === 0) resolve();
      else reject(new Error(`go build ended with ${code}:\n${lines.slice(-20).join('\n')}`));
    });
  });
}

async function build(go: string, name: ProgramName): Promise<void> {
  const target = programPath(name);
  const part = `${target}.${process.pid}`;
  mkdirSync(path.dirname(target), { recursive: true });
  process.stdout.write(`building ${PROGRAMS[name].binary} ${programVersion(name)}\n`);
  const startedAt = Date.now();
  const other = otherKubernetes(name);
  if (other !== undefined)
    writeModule(
      { go, environment: goEnvironment() },
      pinnedFolder(name),
      moduleFolder(name),
      other,
    );
  const args = ['build', '-v', '-trimpath', '-buildvcs=false', `-ldflags=${linkerFlags(name)}`];
  await runGo(go, [...args, '-o', part, PROGRAMS[name].goPackage], moduleFolder(name));
  renameSync(part, target);
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
  process.stdout.write(`  ${target}, ${seconds} s\n`);
}

function chosen(words: readonly string[]): ProgramName[] {
  const names = new Set<string>(PROGRAM_NAMES);
  const unknown = words.find((word) => !names.has(word));
  if (unknown !== undefined) {
    throw new Error(`there is no ${unknown}; there are ${PROGRAM_NAMES.join(', ')}`);
  }
  return words.length === 0 ? PROGRAM_NAMES : (words as ProgramName[]);
}

try {
  const missing = chosen(process.argv.slice(2)).filter((name) => !isBuilt(name));
  if (missing.length === 0) process.stdout.write(`all is there, in ${cacheFolder()}\n`);
  else {
    mkdirSync(cacheFolder(), { recursive: true });
    const go = findGo(import.meta.dirname, cacheFolder());
    for (const name of missing) await build(go, name);
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
