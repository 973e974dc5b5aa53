import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const sources = path.join(import.meta.dirname, '../runner');
const ARCHITECTURES = ['amd64', 'arm64'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

const sourcesHash = (): string => {
  const hash = createHash('sha256');
  const isSource = (name: string): boolean =>
    name === 'go.mod' || (name.endsWith('.go') && !name.endsWith('_test.go'));
  for (const name of readdirSync(sources).filter(isSource).toSorted()) {
    hash
      .update(`${name}\0`)
      .update(readFileSync(path.join(sources, name)))
      .update('\0');
  }
  return hash.digest('hex').slice(0, 16);
};

/** Where the runner of these sources is, once it has been built: a cache outside the tree. */
export function runnerPath(architecture: Architecture): string {
  const cache = process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache');
  return path.join(
    cache,
    'majorana/runner',
    sourcesHash(),
    `majorana-runner-linux-${architecture}`,
  );
}

function build(architecture: Architecture): void {
  const target = runnerPath(architecture);
  if (existsSync(target)) return;
  mkdirSync(path.dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}`;
  const flags = `-s -w -X main.version=${sourcesHash()}`;
  const { status, error } = spawnSync(
    'go',
    ['build', '-trimpath', '-buildvcs=false', '-ldflags', flags, '-o', temporary, '.'],
    {
      cwd: sources,
      env: { ...process.env, CGO_ENABLED: '0', GOOS: 'linux', GOARCH: architecture },
      stdio: 'inherit',
    },
  );
  if (error !== undefined) throw new Error(`the runner needs Go 1.19 or later: ${error.message}`);
  if (status !== 0) throw new Error(`go build ended with ${status}`);
  renameSync(temporary, target);
}

if (process.argv[1] === import.meta.filename) {
  for (const architecture of ARCHITECTURES) {
    build(architecture);
    process.stdout.write(`${runnerPath(architecture)}\n`);
  }
}
