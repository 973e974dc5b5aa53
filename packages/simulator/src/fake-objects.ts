import { hashText } from './random.ts';

/** 64 hexadecimal digits, as an object store would name the output of an attempt. */
export const outputObject = (attemptId: string): string =>
  Array.from({ length: 8 }, (_, part) =>
    hashText(`output ${part} of ${attemptId}`).toString(16).padStart(8, '0'),
  ).join('');
