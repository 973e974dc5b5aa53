import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { until } from '@majorana/testing';

/** A control group with a memory limit, as a container has one; undefined where none can be made. */
export class TestMemoryGroup implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static make(memoryBytes: number): TestMemoryGroup | undefined {
    const isV2 = existsSync('/sys/fs/cgroup/cgroup.controllers');
    const root = isV2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
    const folder = path.join(root, `majorana-runner-test-${process.pid}`);
    try {
      mkdirSync(folder);
      const file = isV2 ? 'memory.max' : 'memory.limit_in_bytes';
      writeFileSync(path.join(folder, file), String(memoryBytes));
      return new TestMemoryGroup(folder);
    } catch {
      if (existsSync(folder)) rmdirSync(folder);
      return undefined;
    }
  }

  /** Enters the group, then becomes the program that follows. */
  get wrapper(): readonly string[] {
    return ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', this.folder];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await until('an empty memory group', () => {
      try {
        rmdirSync(this.folder);
        return true;
      } catch {
        return false;
      }
    });
  }
}
