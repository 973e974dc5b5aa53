import { fileURLToPath } from 'node:url';

const ARCHITECTURES: readonly string[] = ['x64', 'arm64'];

/** The native launcher for this machine; built by `build.sh` and kept in the repository. */
export function launcherPath(): string {
  if (process.platform !== 'linux' || !ARCHITECTURES.includes(process.arch)) {
    throw new Error(
      `there is no launcher for ${process.platform} on ${process.arch}; Linux on x64 or arm64 is needed`,
    );
  }
  return fileURLToPath(new URL(`../bin/launcher-linux-${process.arch}`, import.meta.url));
}
