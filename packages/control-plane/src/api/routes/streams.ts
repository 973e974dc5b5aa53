import { Readable } from 'node:stream';
import { createInterface } from 'node:readline';
import { parameterSetSchema } from '@majorana/protocol';
import { writeParameterSet } from '@majorana/store';
import { z } from 'zod';
import { bodyOf } from '../body.ts';
import type { Api, ApiContext } from '../context.ts';
import { findJob, idParams } from '../context.ts';
import { jobEvents } from '../job-events.ts';
import { RecordReader } from '../parameter-records.ts';
import { ProblemError } from '../problem.ts';

/** Checks lines one by one as they arrive; nothing of the body is kept. */
async function* checkedLines(body: Readable, reader: RecordReader): AsyncGenerator<string> {
  for await (const line of createInterface({ input: body, crlfDelay: Infinity })) {
    if (line.trim() !== '') yield reader.take(line);
  }
  if (reader.recordCount === 0) throw new ProblemError(422, 'bad_record', 'there is no record');
}

function addParameterSets(app: Api, { pool }: ApiContext): void {
  app.post(
    '/api/v1/parameter-sets',
    {
      schema: {
        summary: 'Records of named fields, one JSON object a line, for an array of as many tasks',
        consumes: ['application/x-ndjson'],
        response: { 201: parameterSetSchema },
      },
    },
    async (request, reply) => {
      const reader = new RecordReader();
      const lines = checkedLines(bodyOf(request.body), reader);
      const set = await writeParameterSet(pool, lines, () => reader);
      return reply.code(201).send({ ...set, fieldNames: [...set.fieldNames] });
    },
  );
}

function addEvents(app: Api, context: ApiContext): void {
  app.get(
    '/api/v1/jobs/:id/events',
    {
      schema: {
        summary: 'Server-sent events: transition, job, end; resumable by Last-Event-ID',
        params: idParams,
        querystring: z.object({
          after: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
          transitions: z.enum(['true', 'false']).default('true'),
        }),
        produces: ['text/event-stream'],
      },
    },
    async (request, reply) => {
      const job = await findJob(context, request, request.params.id);
      const lastEventId = Number(request.headers['last-event-id'] ?? request.query.after);
      const stream = jobEvents(context, job.jobId, {
        after: Number.isSafeInteger(lastEventId) && lastEventId > 0 ? lastEventId : 0,
        withTransitions: request.query.transitions === 'true',
      });
      return reply
        .type('text/event-stream')
        .header('cache-control', 'no-cache')
        .send(Readable.from(stream));
    },
  );
}

export function addStreamRoutes(app: Api, context: ApiContext): void {
  addParameterSets(app, context);
  addEvents(app, context);
}
