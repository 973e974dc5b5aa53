import type { z } from 'zod';
import { ProblemError } from './problem.ts';

/** Where a listing goes on: opaque to the caller, who hands it back as it came. */
export const writeCursor = (value: object): string =>
  Buffer.from(JSON.stringify(value)).toString('base64url');

export function readCursor<S extends z.ZodType>(
  schema: S,
  text: string | undefined,
): z.output<S> | undefined {
  if (text === undefined) return undefined;
  try {
    return schema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
  } catch {
    const what = 'the cursor is not one that this listing gave';
    throw new ProblemError(422, 'invalid_input', what, [{ where: 'cursor', what }]);
  }
}
