import { parseId } from '@majorana/core';
import type { JobSpecInput } from '@majorana/protocol';
import { CliError } from '../output.ts';

/** `JOB`, `JOB:ok`, `JOB:any`, and `:each` for task by task. */
export function readAfter(text: string): NonNullable<JobSpecInput['after']>[number] {
  const [id = '', ...words] = text.split(':');
  const job = parseId(id);
  const on = words[0] === 'ok' || words[0] === 'any' ? words.shift()! : 'ok';
  const each = words[0] === 'each';
  if (each) words.shift();
  if (job === undefined || job.taskIndex !== undefined || words.length > 0) {
    throw new CliError(
      `--after ${text}: JOB, JOB:ok or JOB:any is expected, each also with :each for task by task`,
    );
  }
  return { jobId: job.jobId, on: on as 'ok' | 'any', ...(each ? { each } : {}) };
}
