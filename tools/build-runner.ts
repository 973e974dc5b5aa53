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
  const cache = process.env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache');
  return path.join(
    cache,
    'majorana/runner',
    sourcesHash(),
    `majorana-runner-linux-${architecture}`,
  );
}

const CANDIDATES = ['go', '/usr/local/go/bin/go', '/usr/lib/go/bin/go'] as const;

function go(args: readonly string[], env: NodeJS.ProcessEnv = {}): void {
  const program = CANDIDATES.find((name) => spawnSync(name, ['version']).status === 0);
  if (program === undefined) {
    throw new Error('the runner needs Go 1.19 or later; for example: apt-get install golang-go');
  }
  const { status } = spawnSync(program, args, {
    cwd: sources,
    env: { ...process.env, ...env },
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error(`go ${args[0]} ended with ${status}`);
}

function build(architecture: Architecture): void {
  const target = runnerPath(architecture);
  if (existsSync(target)) return;
  mkdirSync(path.dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}`;
  const flags = `-s -w -X main.version=${sourcesHash()}`;
  go(['build', '-trimpath', '-buildvcs=false', '-ldflags', flags, '-o', temporary, '.'], {
    CGO_ENABLED: '0',
    GOOS: 'linux',
    GOARCH: architecture,
  });
  renameSync(temporary, target);
}

/** The tests as one program, for a machine that has neither Go nor the sources. */
export function buildRunnerTests(target: string): void {
  go(['test', '-c', '-o', target, '.'], { CGO_ENABLED: '0' });
}

if (process.argv[1] === import.meta.filename) {
  if (process.argv[2] === '--test') {
    go(['vet', './...']);
    go(['test', './...']);
  }
  for (const architecture of ARCHITECTURES) {
    build(architecture);
    process.stdout.write(`${runnerPath(architecture)}\n`);
  }
}
