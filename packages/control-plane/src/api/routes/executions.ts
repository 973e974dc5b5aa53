import type { Template } from '@majorana/core';
import { fillPlaceholders, formatAttemptId } from '@majorana/core';
import type { Execution } from '@majorana/protocol';
import { executionPageSchema, runInstancesSchema } from '@majorana/protocol';
import type { ExecutionRecord } from '@majorana/store';
import { listExecutions } from '@majorana/store';
import { z } from 'zod';
import type { Api, ApiContext } from '../context.ts';
import { INT32_MAX, limitSchema } from '../context.ts';
import { readCursor, writeCursor } from '../cursor.ts';
import { findRun } from './workflows.ts';

const runParams = z.object({ id: z.string().max(64).describe('such as run_7') });
const cursorSchema = z.object({
  instanceId: z.number().int().min(0).max(INT32_MAX),
  position: z.number().int().min(-1).max(INT32_MAX),
});

function executionView(template: Template, record: ExecutionRecord): Execution {
  const { jobId, jobPosition, attemptNumber, fields, hasResult, isReused } = record;
  const fill = (text: string): string => fillPlaceholders(text, fields);
  const isKnown = jobId !== null && jobPosition !== null && attemptNumber !== null;
  const { path, position, key, agentId, startedAtMs, endedAtMs, reason } = record;
  const { peakMemoryBytes, cpuTimeMs } = record;
  return {
    path,
    position,
    key,
    isReused,
    isSuccess: hasResult,
    argv: template.argv.map(fill),
    env: Object.fromEntries(Object.entries(template.env).map(([name, text]) => [name, fill(text)])),
    parameters: { ...fields },
    inputs: template.elementInputs.map((one) => ({
      path: fill(one.path),
      object: fill(one.object),
    })),
    outputs: [...record.outputs],
    attemptId: isKnown ? formatAttemptId({ jobId, taskIndex: jobPosition, attemptNumber }) : null,
    agentId,
    startedAtMs,
    endedAtMs,
    reason,
    peakMemoryBytes,
    cpuTimeMs,
  };
}

/** What a run's latest round ran or found: enough to tell how each of its files was made. */
export function addExecutionRoutes(app: Api, context: ApiContext): void {
  const { workflows, pool } = context;
  app.get(
    '/api/v1/runs/:id/instances',
    {
      schema: {
        summary: 'Steps of a run that were run or reused, with what their elements share',
        params: runParams,
        response: { 200: runInstancesSchema },
      },
    },
    async (request) => {
      const run = await findRun(context, request, request.params.id);
      const instances = await workflows.results.instances(run.runId, run.round);
      return {
        instances: instances.map(({ template, ...one }) => ({
          ...one,
          argv: [...template.argv],
          tools: { ...template.tools },
          inputs: [...template.inputs],
        })),
      };
    },
  );
  app.get(
    '/api/v1/runs/:id/executions',
    {
      schema: {
        summary: 'Elements of a run’s steps, each with the attempt that made its result',
        params: runParams,
        querystring: z.object({
          cursor: z.string().max(8192).optional().describe('`next` of the page before'),
          limit: limitSchema,
        }),
        response: { 200: executionPageSchema },
      },
    },
    async (request) => {
      const run = await findRun(context, request, request.params.id);
      const { cursor, limit } = request.query;
      const after = readCursor(cursorSchema, cursor) ?? { instanceId: 0, position: -1 };
      const [instances, page] = await Promise.all([
        workflows.results.instances(run.runId, run.round),
        listExecutions(pool, run, after, limit),
      ]);
      const templates = new Map(instances.map((one) => [one.instanceId, one.template]));
      const last = page.length === limit ? page.at(-1) : undefined;
      return {
        executions: page.map((one) => executionView(templates.get(one.instanceId)!, one)),
        next:
          last === undefined
            ? null
            : writeCursor({ instanceId: last.instanceId, position: last.position }),
      };
    },
  );
}
