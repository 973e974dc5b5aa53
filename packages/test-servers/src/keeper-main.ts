import { globSync, rmdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { until } from '@majorana/testing/until';
import type { Kept, ProcessIdentity } from './keeper.ts';
import { identityOf } from './keeper.ts';

const isAlive = ({ pid, startedAtTicks }: ProcessIdentity): boolean =>
  identityOf(pid)?.startedAtTicks === startedAtTicks;

async function end(identity: ProcessIdentity): Promise<void> {
  if (!isAlive(identity)) return;
  process.kill(identity.pid, 'SIGKILL');
  await until(`process ${identity.pid} to end`, () => !isAlive(identity));
}

/** A group can be removed when its last process is gone; the deepest go first. */
async function removeCgroup(name: string): Promise<void> {
  const folders = globSync(`/sys/fs/cgroup/{,*/}${name}{,/**}`).toSorted().toReversed();
  for (const folder of folders) {
    await until(`${folder} to be empty`, () => {
      try {
        rmdirSync(folder);
        return true;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        return code === 'ENOENT' || code === 'ENOTDIR' || code === 'EPERM';
      }
    });
  }
}

async function release(kept: Kept): Promise<void> {
  if ('process' in kept) await end(kept.process);
  else if ('cgroup' in kept) await removeCgroup(kept.cgroup);
  else await rm(kept.folder, { recursive: true, force: true, maxRetries: 10 });
}

// A terminal's Ctrl-C reaches its whole group; this process goes when its input ends.
process.on('SIGINT', () => undefined);
process.on('SIGHUP', () => undefined);
const all: Kept[] = [];
for await (const line of createInterface({ input: process.stdin })) {
  all.push(JSON.parse(line) as Kept);
}
for (const kept of all.toReversed()) {
  await release(kept).catch((error: Error) => process.stderr.write(`keeper: ${error.message}\n`));
}
