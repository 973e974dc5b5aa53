import { statSync } from 'node:fs';
import path from 'node:path';
import type { ObjectStore } from '@majorana/objects';
import type { Lease, StoredArtifact } from '@majorana/protocol';
import { glob } from 'tinyglobby';
import type { AttemptFolder } from './attempt-folder.ts';

/** As the protocol has it; the two logs are among them. */
const ARTIFACTS_MAX = 100_000;

/** A path of the working directory; nothing else may be named by a lease. */
export function insideWork(folder: AttemptFolder, relative: string): string | undefined {
  const work = folder.file('work');
  const target = path.resolve(work, relative);
  return target.startsWith(`${work}${path.sep}`) ? target : undefined;
}

async function storeLog(
  objects: ObjectStore,
  file: string,
  role: 'stdout' | 'stderr',
): Promise<StoredArtifact[]> {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  // An empty log is no object: most tasks write nothing to stderr.
  return size === 0 ? [] : [{ role, path: role, ...(await objects.putFile(file)) }];
}

/** Stores logs and outputs; one after the other, so that memory and open files stay few. */
export async function storeResults(
  lease: Lease,
  folder: AttemptFolder,
  objects: ObjectStore,
): Promise<StoredArtifact[]> {
  const artifacts = [
    ...(await storeLog(objects, folder.file('stdout'), 'stdout')),
    ...(await storeLog(objects, folder.file('stderr'), 'stderr')),
  ];
  if (lease.outputs.length === 0) return artifacts;
  const cwd = folder.file('work');
  const names = await glob([...lease.outputs], { cwd, dot: true, followSymbolicLinks: false });
  if (names.length > ARTIFACTS_MAX - 2) {
    throw new Error(`its outputs match ${names.length} files; at most ${ARTIFACTS_MAX - 2} may`);
  }
  for (const name of names.toSorted()) {
    const file = insideWork(folder, name);
    // Only what holds content: reading a named pipe would wait for ever.
    if (file === undefined || !statSync(file, { throwIfNoEntry: false })?.isFile()) continue;
    artifacts.push({ role: 'output', path: name, ...(await objects.putFile(file)) });
  }
  return artifacts;
}
