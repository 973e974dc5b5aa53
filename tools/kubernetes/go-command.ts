import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, globSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';

/** From 1.21 on, Go fetches the toolchain that a go.mod asks for by itself. */
const SWITCHES_FROM: readonly number[] = [1, 21];

const isAtLeast = (version: readonly number[], least: readonly number[]): boolean => {
  const at = least.findIndex((part, index) => part !== version[index]);
  return at === -1 || version[at]! > least[at]!;
};

const parts = (version: string): number[] => version.split('.').map(Number);

/** The newest Go that any of the modules asks for. */
export function neededGo(folder: string): string {
  const versions = globSync('*/go.mod', { cwd: folder }).map(
    (file) => /^go (\d+\.\d+\.\d+)$/m.exec(readFileSync(path.join(folder, file), 'utf8'))![1]!,
  );
  return versions.reduce((best, one) => (isAtLeast(parts(one), parts(best)) ? one : best));
}

function versionOf(program: string): number[] | undefined {
  const { stdout, status } = spawnSync(program, ['version'], {
    encoding: 'utf8',
    env: { ...process.env, GOTOOLCHAIN: 'local' },
  });
  const version = status === 0 ? /go(\d+(?:\.\d+)+)/.exec(stdout)?.[1] : undefined;
  return version === undefined ? undefined : parts(version);
}

/** Go's toolchains are modules too: an old Go fetches and checks a new one as it does any other. */
function fetchToolchain(oldGo: string, version: string, cache: string): string {
  const target = path.join(cache, `go${version}`);
  const program = path.join(target, 'bin', 'go');
  if (existsSync(program)) return program;
  const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch;
  const module = `golang.org/toolchain@v0.0.1-go${version}.${process.platform}-${architecture}`;
  process.stdout.write(`${oldGo} is too old to build them; fetching Go ${version}\n`);
  const answer = execFileSync(oldGo, ['mod', 'download', '-json', module], { encoding: 'utf8' });
  const { Dir: folder } = JSON.parse(answer) as { Dir: string };
  const part = `${target}.${process.pid}`;
  cpSync(folder, part, { recursive: true });
  // A module's files are read-only and not executable.
  execFileSync('chmod', ['-R', 'u+w', part]);
  for (const file of globSync('{bin/*,pkg/tool/*/*}', { cwd: part })) {
    chmodSync(path.join(part, file), 0o755);
  }
  rmSync(target, { recursive: true, force: true });
  renameSync(part, target);
  return program;
}

/** A Go that can build every module in the folder. */
export function findGo(folder: string, cache: string): string {
  const candidates = ['go', '/usr/local/go/bin/go', '/usr/lib/go/bin/go'];
  const found = candidates
    .map((program) => ({ program, version: versionOf(program) }))
    .find(({ version }) => version !== undefined);
  if (found?.version === undefined) {
    throw new Error(
      'Go is needed to build the servers and is not in the PATH; install it, for example with: apt-get install golang-go',
    );
  }
  const needed = neededGo(folder);
  if (isAtLeast(found.version, SWITCHES_FROM)) return found.program;
  return fetchToolchain(found.program, needed, cache);
}
