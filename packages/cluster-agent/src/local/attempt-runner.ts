import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { AttemptOutcome } from '@majorana/core';
import { fillPlaceholders } from '@majorana/core';
import type { FolderObjects } from '@majorana/objects';
import type { AttemptEvent, Lease, StoredArtifact } from '@majorana/protocol';
import { glob } from 'tinyglobby';
import type { AttemptFolder, ExitRecord } from './attempt-folder.ts';
import { outcomeOf } from './outcome.ts';
import { taskSpec } from './task-spec.ts';

export type EndedEvent = Extract<AttemptEvent, { kind: 'ended' }>;

function insideWork(folder: AttemptFolder, relative: string): string {
  const work = folder.file('work');
  const target = path.resolve(work, relative);
  if (target === work || !target.startsWith(`${work}${path.sep}`)) {
    throw new Error(`the input path ${relative} leaves the working directory`);
  }
  return target;
}

/** Lays the inputs into the working directory and writes what the launcher needs. */
export async function stage(
  lease: Lease,
  folder: AttemptFolder,
  objects: FolderObjects,
): Promise<void> {
  const own = lease.spec.inputs.map((input) => ({
    path: fillPlaceholders(input.path, lease.fields),
    object: fillPlaceholders(input.object, lease.fields),
  }));
  for (const input of [...own, ...lease.inputs]) {
    await objects.copyTo(input.object, insideWork(folder, input.path));
  }
  await folder.writeSpec(taskSpec(lease, folder));
}

async function storeFile(
  objects: FolderObjects,
  file: string,
  role: StoredArtifact['role'],
  name: string,
): Promise<StoredArtifact[]> {
  const size = (await stat(file).catch(() => undefined))?.size ?? 0;
  // An empty log is no object: most tasks write nothing to stderr.
  if (size === 0 && role !== 'output') return [];
  return [{ role, path: name, ...(await objects.putFile(file)) }];
}

async function collectArtifacts(
  lease: Lease,
  folder: AttemptFolder,
  objects: FolderObjects,
): Promise<StoredArtifact[]> {
  const artifacts = [
    ...(await storeFile(objects, folder.file('stdout'), 'stdout', 'stdout')),
    ...(await storeFile(objects, folder.file('stderr'), 'stderr', 'stderr')),
  ];
  if (lease.spec.outputs.length === 0) return artifacts;
  const patterns = lease.spec.outputs.map((text) => fillPlaceholders(text, lease.fields));
  const files = await glob(patterns, {
    cwd: folder.file('work'),
    dot: true,
    followSymbolicLinks: false,
  });
  for (const name of files.toSorted()) {
    artifacts.push(...(await storeFile(objects, insideWork(folder, name), 'output', name)));
  }
  return artifacts;
}

/** Stores logs and outputs, then the outcome: from here on the attempt is only reported. */
export async function collect(
  lease: Lease,
  folder: AttemptFolder,
  objects: FolderObjects,
  exit: ExitRecord,
): Promise<EndedEvent> {
  let outcome: AttemptOutcome = outcomeOf(exit, lease);
  let artifacts: StoredArtifact[] = [];
  try {
    artifacts = await collectArtifacts(lease, folder, objects);
  } catch (error) {
    const reason = `its results could not be stored: ${(error as Error).message}`;
    if (outcome.kind === 'succeeded') outcome = { kind: 'start_error', reason };
  }
  const event: EndedEvent = {
    kind: 'ended',
    attemptId: folder.attemptId,
    atMs: exit.endedAtMs,
    outcome,
    peakMemoryBytes: exit.peakMemoryBytes,
    cpuTimeMs: exit.cpuTimeMs,
    artifacts,
  };
  await folder.writeJson('outcome.json', event);
  return event;
}
