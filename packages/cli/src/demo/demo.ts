import type { Client } from '@majorana/client';

export interface DemoOptions {
  readonly client: Client;
  /** Where tables and figures go. */
  readonly folder: string;
  /** Less work of the same kind, to see that all of it runs. */
  readonly isQuick: boolean;
  readonly signal: AbortSignal;
}

/** Real work on real input, from submission to a table and a picture. */
export interface Demo {
  readonly name: string;
  /** Answers with what stands in the folder then, as data and in lines for a person. */
  run(options: DemoOptions): Promise<{ readonly data: object; readonly lines: readonly string[] }>;
}
