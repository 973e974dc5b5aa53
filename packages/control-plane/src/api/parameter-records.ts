import { TASK_COUNT_MAX } from '@majorana/core';
import { fieldNameSchema } from '@majorana/protocol';
import { COMMON_FIELDS } from '../engine/lease.ts';
import { ProblemError } from './problem.ts';

/** A line of a parameter file. */
const RECORD_CHARACTERS_MAX = 262_144;

/** The escape of one; whole pairs have it too. */
const HALF_PAIR = /\\ud[89a-f]/i;
const isWellFormed = (value: unknown): boolean => typeof value !== 'string' || value.isWellFormed();

const refuse = (number: number, why: string): never => {
  const what = `record ${number}: ${why}`;
  throw new ProblemError(422, 'bad_record', what, [{ where: `record ${number}`, what: why }]);
};

/** Takes records one by one, refuses the first that is wrong, and knows what the whole is like. */
export class RecordReader {
  recordCount = 0;
  fieldNames: string[] = [];

  /** The record's JSON text, checked; records are numbered from 1, as lines are. */
  take(text: string): string {
    const number = this.recordCount + 1;
    if (number > TASK_COUNT_MAX) refuse(number, `a job has at most ${TASK_COUNT_MAX} tasks`);
    if (text.length > RECORD_CHARACTERS_MAX) {
      refuse(number, `longer than ${RECORD_CHARACTERS_MAX} characters`);
    }
    // PostgreSQL's text holds no NUL, nor does an argument.
    if (text.includes('\\u0000')) refuse(number, 'a NUL character cannot be in an argument');
    const record = parseRecord(text, number);
    if (HALF_PAIR.test(text) && !Object.values(record).every(isWellFormed))
      refuse(number, 'half of a surrogate pair is no text');
    if (number === 1) this.#learn(record);
    else this.#compare(record, number);
    this.recordCount = number;
    return text;
  }

  #learn(record: object): void {
    this.fieldNames = Object.keys(record);
    if (this.fieldNames.length === 0) refuse(1, 'it has no field');
    for (const name of this.fieldNames) {
      if (!fieldNameSchema.safeParse(name).success) {
        refuse(1, `"${name}" is no field name: letters, digits and "_", at most 63`);
      }
      if ((COMMON_FIELDS as readonly string[]).includes(name)) {
        refuse(1, `the field "${name}" is one that every task has; give it another name`);
      }
    }
  }

  #compare(record: object, number: number): void {
    let count = 0;
    for (const name in record) {
      count += 1;
      if (!this.fieldNames.includes(name)) {
        refuse(number, `the field ${name} is not in record 1`);
      }
    }
    if (count === this.fieldNames.length) return;
    const missing = this.fieldNames.find((name) => !(name in record));
    refuse(number, `it lacks the field ${missing}, which record 1 has`);
  }
}

function parseRecord(text: string, number: number): object {
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch (error) {
    refuse(number, (error as Error).message);
  }
  if (typeof record === 'object' && record !== null && !Array.isArray(record)) return record;
  return refuse(number, 'it is no JSON object');
}
