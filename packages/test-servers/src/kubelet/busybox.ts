import { existsSync } from 'node:fs';
import path from 'node:path';
import type { ImageSpec } from './oci-image.ts';

/** Where a program of this machine stands, if it is in the PATH. */
export const findInPath = (program: string): string | undefined =>
  (process.env['PATH'] ?? '')
    .split(':')
    .map((folder) => path.join(folder, program))
    .find((file) => existsSync(file));

/** A shell and the usual programs in one static file of this machine; it is never kept here. */
export function busyboxImage(name = 'majorana.test/busybox:1'): ImageSpec {
  const busybox = findInPath('busybox');
  if (busybox === undefined) throw new Error('there is no busybox: apt-get install busybox-static');
  return { name, files: { '/bin/busybox': busybox, '/bin/sh': busybox } };
}
