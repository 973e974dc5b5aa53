import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** A server that is built from a Go module; each folder of tools/kubernetes pins one. */
interface Program {
  /** The folder in tools/kubernetes whose go.mod pins it. */
  readonly folder: string;
  /** The module that carries its version. */
  readonly module: string;
  readonly goPackage: string;
  readonly binary: string;
}

const kubernetes = (binary: string): Program => ({
  folder: 'kube',
  module: 'k8s.io/kubernetes',
  goPackage: `k8s.io/kubernetes/cmd/${binary}`,
  binary,
});

const etcd = 'go.etcd.io/etcd/server/v3';
const nats = 'github.com/nats-io/nats-server/v2';

export const PROGRAMS = {
  etcd: { folder: 'etcd', module: etcd, goPackage: etcd, binary: 'etcd' },
  apiserver: kubernetes('kube-apiserver'),
  kwok: {
    folder: 'kwok',
    module: 'sigs.k8s.io/kwok',
    goPackage: 'sigs.k8s.io/kwok/cmd/kwok',
    binary: 'kwok',
  },
  kubelet: kubernetes('kubelet'),
  nats: { folder: 'nats', module: nats, goPackage: nats, binary: 'nats-server' },
  'controller-manager': kubernetes('kube-controller-manager'),
  scheduler: kubernetes('kube-scheduler'),
  proxy: kubernetes('kube-proxy'),
  kubectl: kubernetes('kubectl'),
} as const satisfies Record<string, Program>;

export type ProgramName = keyof typeof PROGRAMS;
export const PROGRAM_NAMES = Object.keys(PROGRAMS) as ProgramName[];

const modules = new URL('../../../tools/kubernetes/', import.meta.url);

/** Where the go.mod stands that pins a program. */
export const pinnedFolder = (name: ProgramName): string =>
  new URL(PROGRAMS[name].folder, modules).pathname;

/** The Kubernetes that was asked for instead of the pinned one, if any was. */
export function otherKubernetes(name: ProgramName): string | undefined {
  const version = process.env['MAJORANA_KUBERNETES'];
  if (version === undefined || version === '' || PROGRAMS[name].folder !== 'kube') return undefined;
  if (!/^1\.\d+\.\d+$/.test(version))
    throw new Error(`MAJORANA_KUBERNETES is ${version}; it names a whole version, such as 1.37.2`);
  return version;
}

/** Where the go.mod stands that a program is built by. */
export function moduleFolder(name: ProgramName): string {
  const other = otherKubernetes(name);
  return other === undefined ? pinnedFolder(name) : path.join(cacheFolder(), other, 'module');
}

/** The version that go.mod pins, or that was asked for, without the v. */
export function programVersion(name: ProgramName): string {
  const other = otherKubernetes(name);
  if (other !== undefined) return other;
  const { module } = PROGRAMS[name];
  const text = readFileSync(path.join(pinnedFolder(name), 'go.mod'), 'utf8');
  const line = text
    .split('\n')
    .find((one) => one.replace('require ', '').trim().startsWith(`${module} v`));
  const version = / v(\d+\.\d+\.\d+)/.exec(line ?? '')?.[1];
  if (version === undefined) throw new Error(`${moduleFolder(name)}/go.mod does not pin ${module}`);
  return version;
}

/** Outside the tree, so that a second clone starts at once. */
export const cacheFolder = (): string =>
  path.join(
    process.env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache'),
    'majorana',
    'kubernetes',
  );

export const programPath = (name: ProgramName): string =>
  path.join(cacheFolder(), programVersion(name), PROGRAMS[name].binary);

export const isBuilt = (name: ProgramName): boolean => existsSync(programPath(name));

/** The program, or what to do to get it. */
export function requireProgram(name: ProgramName): string {
  if (isBuilt(name)) return programPath(name);
  const what = `${PROGRAMS[name].binary} ${programVersion(name)}`;
  throw new Error(`${what} is not built; run: npm run kubernetes:build ${name}`);
}
