import { problemSchema } from '@majorana/protocol';
import { z } from 'zod';
import type { Api } from './context.ts';

interface Operation {
  responses?: Record<string, object>;
  requestBody?: object;
}

/** What any operation may answer, beside what its own schema says. */
const PROBLEMS: Readonly<Record<string, string>> = {
  400: 'The request cannot be read',
  401: 'No token, or one that is not known',
  403: 'The token may not do this',
  404: 'There is nothing of this id',
  410: 'The attempt is over, or fenced by a later one',
  409: 'Not as things stand; the detail says what stands',
  412: 'The condition of the request does not hold',
  413: 'The body is too large',
  414: 'The address is too long',
  415: 'The body has another type than is documented',
  416: 'The object has no such bytes',
  422: 'The request is understood and wrong; `issues` says where',
  429: 'Too many requests',
  431: 'Address and headers are more than 16 KiB',
  503: 'The server is loading or its database does not answer; ask again',
};

const STREAMED: Readonly<Record<string, string>> = {
  'post /api/v1/parameter-sets': 'application/x-ndjson',
  'post /api/v1/objects': 'application/octet-stream',
  'put /api/v1/runner/attempts/{attemptId}/objects/{object}': 'application/octet-stream',
  'patch /api/v1/uploads/{object}': 'application/octet-stream',
};
const STREAMS: Readonly<Record<string, string>> = {
  'get /api/v1/tasks/{id}/logs': 'application/octet-stream',
  'get /api/v1/objects/{object}': 'application/octet-stream',
  'get /api/v1/runner/attempts/{attemptId}/objects/{object}': 'application/octet-stream',
  'get /api/v1/jobs/{id}/events': 'text/event-stream',
};

const binary = { type: 'string', format: 'binary' };

function complete(name: string, operation: Operation): void {
  const problem = z.toJSONSchema(problemSchema);
  const content = { 'application/problem+json': { schema: problem } };
  const responses: Record<string, object> = { ...operation.responses };
  const streams = STREAMS[name];
  if (streams !== undefined) {
    responses['200'] = { description: 'The content', content: { [streams]: { schema: binary } } };
  }
  for (const [status, description] of Object.entries(PROBLEMS)) {
    responses[status] ??= { description, content };
  }
  operation.responses = responses;
  const streamed = STREAMED[name];
  if (streamed !== undefined) {
    operation.requestBody = { required: true, content: { [streamed]: { schema: binary } } };
  }
}

/** The OpenAPI 3.1 document: made of the schemas that check requests and answers. */
export function openapi(app: Api): object {
  const document = structuredClone(app.swagger()) as {
    paths: Record<string, Record<string, Operation>>;
  };
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      complete(`${method} ${path}`, operation);
    }
  }
  return document;
}
