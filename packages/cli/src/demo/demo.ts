import type { Client } from '@majorana/client';

/** Real work on real input, from submission to a table and a picture. */
export interface Demo {
  readonly name: string;
  /** Submits it all; the last job's outputs are what the demo brings back. */
  submit(client: Client): Promise<string[]>;
  /** What stands in the folder then, as data and in lines for a person. */
  read(folder: string): Promise<{ readonly data: object; readonly lines: readonly string[] }>;
}

export const jobNumber = (id: string): number => Number(id.slice('job_'.length));
