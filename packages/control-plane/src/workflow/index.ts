import type { ObjectStore } from '@majorana/objects';
import type { EngineStore, Reads } from '@majorana/store';
import { StepResults, WorkflowRuns } from '@majorana/store';
import type { FastifyBaseLogger } from 'fastify';
import type { Pool } from 'pg';
import type { Engine, EngineClock } from '../engine/engine.ts';
import type { EngineEvents } from '../events.ts';
import { WorkflowLoop } from './workflow-loop.ts';

export interface Workflows {
  readonly runs: WorkflowRuns;
  readonly results: StepResults;
  readonly loop: WorkflowLoop;
}

/** Puts the parts together; the loop starts when its engine has. */
export function makeWorkflows(parts: {
  readonly engine: Engine;
  readonly events: EngineEvents;
  readonly reads: Reads;
  readonly store: Pick<EngineStore, 'loadFields'>;
  readonly objects: ObjectStore;
  readonly pool: Pool;
  readonly clock: EngineClock;
  readonly log: FastifyBaseLogger;
}): Workflows {
  const { engine, events, reads, store, objects, pool, log, clock } = parts;
  const runs = new WorkflowRuns(pool);
  const results = new StepResults(pool);
  const loop = new WorkflowLoop({
    engine,
    reads,
    store,
    results,
    objects,
    clock,
    runs,
    isOpenJob: (jobId) => engine.isReady && engine.state.jobs.has(jobId),
    onEnd: (runId, status) => log.info({ runId, status }, 'workflow run ended'),
    onTrouble: (error, what) => log.error({ error: error.stack }, what),
  });
  events.onJobChanges = (jobIds) => loop.onJobs(jobIds);
  return { runs, results, loop };
}
