import { RecordFault } from '@majorana/molecules/reasons';

/** Something is wrong with what the program was given, and one line says what. */
export class InputError extends Error {}

/** What the readers of molecules refuse is wrong input here. */
export function asInput<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RecordFault)) throw error;
    const where = error.line === undefined ? what : `${what}:${error.line}`;
    throw new InputError(`${where}: ${error.message}`);
  }
}
