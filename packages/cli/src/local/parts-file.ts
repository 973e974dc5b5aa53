import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { ProcessIdentity } from './process-identity.ts';
import { isAlive, signalProcess } from './process-identity.ts';

const STOP_DEADLINE_MS = 10_000;
const POLL_MS = 20;

/** A part that a supervisor has started, and how it is asked to end. */
export interface PartRecord {
  readonly name: string;
  readonly process: ProcessIdentity;
  readonly stopSignal: NodeJS.Signals;
}

const fileOf = (data: string): string => path.join(data, 'parts.json');

/** Written at once and as a whole: the next supervisor reads it when this one was killed. */
export function writeParts(data: string, parts: readonly PartRecord[]): void {
  const temporary = `${fileOf(data)}.new`;
  writeFileSync(temporary, JSON.stringify(parts), { mode: 0o600 });
  renameSync(temporary, fileOf(data));
}

export function readParts(data: string): PartRecord[] {
  try {
    return JSON.parse(readFileSync(fileOf(data), 'utf8')) as PartRecord[];
  } catch {
    return [];
  }
}

export const livingParts = (data: string): PartRecord[] =>
  readParts(data).filter((part) => isAlive(part.process));

async function endPart(part: PartRecord): Promise<void> {
  signalProcess(part.process, part.stopSignal);
  const deadlineMs = Date.now() + STOP_DEADLINE_MS;
  while (isAlive(part.process)) {
    if (Date.now() > deadlineMs) signalProcess(part.process, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/**
 * Ends what a killed supervisor left behind, in the order of a stop: the agent first, the database
 * last. Running tasks are nobody's children and go on.
 */
export async function endOrphans(data: string): Promise<string[]> {
  const orphans = livingParts(data);
  for (const part of orphans.toReversed()) await endPart(part);
  if (orphans.length > 0) writeParts(data, []);
  return orphans.map((part) => part.name);
}
