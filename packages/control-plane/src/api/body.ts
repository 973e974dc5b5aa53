import { Readable } from 'node:stream';
import type { Api } from './context.ts';
import { ProblemError } from './problem.ts';

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
