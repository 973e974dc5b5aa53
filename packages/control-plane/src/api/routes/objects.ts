import type { Readable } from 'node:stream';
import type { StoredObject } from '@majorana/objects';
import {
  objectIdSchema,
  objectListSchema,
  storedObjectSchema,
  uploadStateSchema,
} from '@majorana/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { bodyOf } from '../body.ts';
import type { Api, ApiContext } from '../context.ts';
import { readManifest } from '../agent-manifest.ts';
import { ProblemError } from '../problem.ts';

const TYPE = 'application/octet-stream';
const objectParams = z.object({ object: objectIdSchema });
const bytes = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

/** Of `bytes=3-`, `bytes=3-9` and `bytes=-5`; several ranges, or none, are the whole. */
function rangeOf(header: string | undefined, sizeBytes: number): [number, number] | undefined {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') return [Math.max(0, sizeBytes - Number(last)), sizeBytes - 1];
  const end = last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  return [Number(first), end];
}

/** An object never changes: its id is its tag, and a condition on it can only be right or foolish. */
function checkCondition(request: FastifyRequest, tag: string): void {
  const condition = request.headers['if-match'];
  if (condition === undefined || condition === '*' || condition.includes(tag)) return;
  throw new ProblemError(412, 'other_content', `the tag of this object is ${tag}`);
}

async function sendObject(
  { objects }: ApiContext,
  request: FastifyRequest<{ Params: z.infer<typeof objectParams> }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { object } = request.params;
  const tag = `"${object}"`;
  checkCondition(request, tag);
  const { sizeBytes } = await objects.stat(object);
  void reply.type(TYPE).header('etag', tag).header('accept-ranges', 'bytes');
  const range = rangeOf(request.headers.range, sizeBytes);
  if (range === undefined) {
    return reply.header('content-length', sizeBytes).send(await objects.read(object));
  }
  const [start, end] = range;
  if (start > end) {
    void reply.header('content-range', `bytes */${sizeBytes}`);
    throw new ProblemError(416, 'no_such_range', `the object has ${sizeBytes} bytes`);
  }
  return reply
    .code(206)
    .header('content-range', `bytes ${start}-${end}/${sizeBytes}`)
    .header('content-length', end - start + 1)
    .send(await objects.read(object, start, end));
}

function addUploads(app: Api, { uploads }: ApiContext): void {
  app.get(
    '/api/v1/uploads/:object',
    {
      schema: {
        summary: 'How much of an object is here, so that an upload goes on where it stopped',
        params: objectParams,
        response: { 200: uploadStateSchema },
      },
    },
    async (request) => {
      const { object } = request.params;
      return uploads.state({ user: request.access.user, object });
    },
  );
  app.patch(
    '/api/v1/uploads/:object',
    {
      schema: {
        summary: 'The next piece of an object; with the last one it is checked and kept',
        consumes: [TYPE],
        params: objectParams,
        querystring: z.object({
          offset: bytes.describe('where the piece begins'),
          size: bytes.describe('of the whole object'),
        }),
        response: { 200: uploadStateSchema },
      },
    },
    async (request, reply) => {
      const { object } = request.params;
      const name = { user: request.access.user, object };
      try {
        return await uploads.append(name, request.query, bodyOf(request.body));
      } finally {
        // Else the rest of what is not needed would be read to its end.
        if (!request.raw.complete) void reply.header('connection', 'close');
      }
    },
  );
}

/** What is there needs no upload. */
function addStat(app: Api, { objects }: ApiContext): void {
  app.post(
    '/api/v1/objects/stat',
    {
      schema: {
        summary:
          'Those of these objects that are there, with their sizes; the next sweep spares them',
        body: objectListSchema,
        response: { 200: z.object({ objects: z.array(storedObjectSchema) }) },
      },
    },
    async (request) => {
      const look = async (object: string): Promise<StoredObject[]> => {
        if (!(await objects.touch(object))) return [];
        const { sizeBytes } = await objects.stat(object);
        return [{ object, sizeBytes }];
      };
      return { objects: (await Promise.all(request.body.objects.map(look))).flat() };
    },
  );
}

export function addObjectRoutes(app: Api, context: ApiContext): void {
  addStat(app, context);
  app.post(
    '/api/v1/objects',
    {
      schema: {
        summary: 'Keep a file, named by the SHA-256 of its content',
        consumes: [TYPE],
        response: { 201: storedObjectSchema },
      },
    },
    async (request, reply) => {
      const body: Readable = bodyOf(request.body);
      return reply.code(201).send(await context.objects.putStream(body));
    },
  );
  app.get(
    '/api/v1/objects/:object',
    {
      schema: {
        summary: 'The content of an object, or a range of its bytes',
        params: objectParams,
        produces: [TYPE],
      },
    },
    (request, reply) =>
      request.access.role === 'agent'
        ? readManifest(context.objects, request.params.object)
        : sendObject(context, request, reply),
  );
  addUploads(app, context);
}
