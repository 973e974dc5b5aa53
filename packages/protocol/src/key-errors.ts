import { z } from 'zod';

/** A wrong name of a label or a resource is told by what is wrong with it, not as "invalid key". */
z.config({
  customError: (issue) =>
    issue.code === 'invalid_key'
      ? issue.issues.map(({ message }) => message).join('; ')
      : undefined,
});
