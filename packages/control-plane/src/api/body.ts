import { Readable } from 'node:stream';
import type { Api } from './context.ts';
import { isKeptText } from '@majorana/core';
import { ProblemError } from './problem.ts';

/** JSON has such characters as escapes only: bytes of them are no UTF-8, or no JSON. */
const ESCAPES = /\\u(0000|d[89a-f])/i;

/** Where a value holds text that a database cannot keep. */
function unkeptText(value: unknown): string | undefined {
  const open: [where: string, value: unknown][] = [['', value]];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const [where, one] = at;
    if (typeof one === 'string' && !isKeptText(one)) return where;
    if (typeof one !== 'object' || one === null) continue;
    for (const [key, inner] of Object.entries(one)) {
      if (!isKeptText(key)) return where;
      open.push([where === '' ? key : `${where}.${key}`, inner]);
    }
  }
  return undefined;
}

/** Whatever a route does with it: no text comes in that would fail the write it is in. */
export function checkJsonText(app: Api): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser<string>(
    'application/json',
    { parseAs: 'string' },
    (request, body, done) => {
      void parse(request, body, (error, value) => {
        const where = error === null && ESCAPES.test(body) ? unkeptText(value) : undefined;
        if (where === undefined) return done(error, value);
        const issue = { where: where || '(whole)', what: 'no NUL and no half of a surrogate pair' };
        done(new ProblemError(422, 'invalid_input', `${issue.where}: ${issue.what}`, [issue]));
      });
    },
  );
}

/** Bodies of these types are handed on as they come, whatever their size. */
export function passStreams(app: Api): void {
  for (const type of ['application/octet-stream', 'application/x-ndjson']) {
    app.addContentTypeParser(type, (_request, payload, done) => done(null, payload));
  }
}

export function bodyOf(body: unknown): Readable {
  if (body instanceof Readable) return body;
  throw new ProblemError(415, 'unsupported_media_type', 'the body must have the documented type');
}
