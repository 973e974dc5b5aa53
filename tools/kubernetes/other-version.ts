import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Parts of Kubernetes that it names at v0.0.0, meaning the folders beside it. */
const PART = /^\s*(k8s\.io\/\S+) v0\.0\.0$/gm;

/**
 * Makes the go.mod of a Kubernetes that is not the pinned one: the programs of the pinned go.mod, and
 * the parts that this version has, which are published as v0.MINOR.PATCH.
 */
export function writeModule(
  run: { readonly go: string; readonly environment: NodeJS.ProcessEnv },
  pinnedFolder: string,
  folder: string,
  version: string,
): void {
  if (existsSync(path.join(folder, 'go.sum'))) return;
  const options = { encoding: 'utf8', env: run.environment } as const;
  const args = ['mod', 'download', '-json', `k8s.io/kubernetes@v${version}`];
  const { GoMod: own } = JSON.parse(execFileSync(run.go, args, options)) as { GoMod: string };
  const parts = [...readFileSync(own, 'utf8').matchAll(PART)].map(([, part]) => part);
  const pinned = readFileSync(path.join(pinnedFolder, 'go.mod'), 'utf8');
  const [tools] = /^tool \([^)]*\)$/m.exec(pinned)!;
  const published = version.replace(/^\d+/, '0');
  const lines = [
    /^module .*$/m.exec(pinned)![0],
    /^go .*$/m.exec(readFileSync(own, 'utf8'))![0],
    `require k8s.io/kubernetes v${version}`,
    tools,
    ...parts.map((part) => `replace ${part} => ${part} v${published}`),
  ];
  const part = `${folder}.${process.pid}`;
  mkdirSync(part, { recursive: true });
  writeFileSync(path.join(part, 'go.mod'), `${lines.join('\n')}\n`);
  execFileSync(run.go, ['mod', 'tidy'], { ...options, cwd: part, stdio: 'pipe' });
  renameSync(part, folder);
}
