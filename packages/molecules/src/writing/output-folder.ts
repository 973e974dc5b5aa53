import {
  existsSync,
  mkdtempSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { InputError } from '../reasons.ts';

/** What a cleaned folder holds: a folder with these alone may be replaced. */
export const OUTPUT_FILES = [
  'cleaned.smi',
  'cleaned.sdf',
  'cleaned.csv',
  'records.csv',
  'report.html',
] as const;

/** Results take their name when all are there; until then the folder is as it was. */
export class OutputFolder {
  readonly folder: string;
  /** Where the files are made. */
  readonly staging: string;

  constructor(folder: string) {
    this.folder = path.resolve(folder);
    if (existsSync(this.folder)) {
      if (!statSync(this.folder).isDirectory())
        throw new InputError(`${folder}: is a file; a folder is expected`);
      const foreign = readdirSync(this.folder).find(
        (name) => !(OUTPUT_FILES as readonly string[]).includes(name),
      );
      if (foreign !== undefined)
        throw new InputError(
          `${folder}: holds ${foreign}, which is no result of cleaning; name another folder with -o`,
        );
    }
    mkdirSync(path.dirname(this.folder), { recursive: true });
    this.staging = mkdtempSync(`${this.folder}.partial-`);
  }

  commit(): void {
    const old = `${this.staging}.old`;
    if (existsSync(this.folder)) renameSync(this.folder, old);
    renameSync(this.staging, this.folder);
    rmSync(old, { recursive: true, force: true });
  }

  discard(): void {
    rmSync(this.staging, { recursive: true, force: true });
  }
}
