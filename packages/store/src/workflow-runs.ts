import type { RunState, RunStatus, WorkflowDefinition } from '@majorana/core';
import { isFinalRun, NEW_RUN } from '@majorana/core';
import type { RunInputs } from '@majorana/protocol';
import type pg from 'pg';

export interface RunRecord {
  readonly runId: number;
  readonly project: string;
  readonly name: string;
  readonly user: string;
  readonly round: number;
  readonly status: RunStatus;
  readonly createdAtMs: number;
  readonly endedAtMs: number | null;
}

export interface RoundRecord {
  readonly runId: number;
  readonly round: number;
  readonly definition: WorkflowDefinition;
  readonly inputs: RunInputs;
  readonly state: RunState;
  readonly version: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
}

export interface NewRun {
  readonly project: string;
  readonly user: string;
  readonly definition: WorkflowDefinition;
  readonly inputs: RunInputs;
  readonly idempotencyKey: string | undefined;
}

/** Somebody else has written the round meanwhile: read it again. */
export class RoundChangedError extends Error {
  override name = 'RoundChangedError';
}

const runFields = `run_id as "runId", project, name, user_name as "user", round, status,
  created_at_ms as "createdAtMs", ended_at_ms as "endedAtMs"`;
const roundFields = `run_id as "runId", round, definition, inputs, state, version,
  started_at_ms as "startedAtMs", ended_at_ms as "endedAtMs"`;

/** Runs of workflows and their rounds. */
export class WorkflowRuns {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** Its number, or that of the first run with the same key. */
  async create(run: NewRun, nowMs: number): Promise<{ runId: number; isNew: boolean }> {
    const { project, user, definition, inputs, idempotencyKey = null } = run;
    const { rows } = await this.#pool.query<{ runId: number }>(
      `with run as (
         insert into workflow_run (project, name, user_name, round, status, created_at_ms,
           idempotency_key)
         values ($1, $2, $3, 1, 'running', $4, $5) on conflict do nothing returning run_id),
       first_round as (
         insert into workflow_round (run_id, round, definition, inputs, state, version, started_at_ms)
         select run_id, 1, $6, $7, $8, 0, $4 from run)
       select run_id as "runId" from run`,
      [
        project,
        definition.name,
        user,
        nowMs,
        idempotencyKey,
        JSON.stringify(definition),
        JSON.stringify(inputs),
        JSON.stringify(NEW_RUN),
      ],
    );
    if (rows[0] !== undefined) return { runId: rows[0].runId, isNew: true };
    const known = await this.#pool.query<{ runId: number }>(
      'select run_id as "runId" from workflow_run where project = $1 and idempotency_key = $2',
      [project, idempotencyKey],
    );
    return { runId: known.rows[0]!.runId, isNew: false };
  }

  /** A round more, of an ended run; false when it has not ended. */
  async resume(
    runId: number,
    change: { readonly definition: WorkflowDefinition; readonly inputs: RunInputs },
    nowMs: number,
  ): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      `with run as (
         update workflow_run set round = round + 1, status = 'running', ended_at_ms = null, name = $5
         where run_id = $1 and ended_at_ms is not null returning run_id, round)
       insert into workflow_round (run_id, round, definition, inputs, state, version, started_at_ms)
       select run_id, round, $2, $3, $4, 0, $6 from run`,
      [
        runId,
        JSON.stringify(change.definition),
        JSON.stringify(change.inputs),
        JSON.stringify(NEW_RUN),
        change.definition.name,
        nowMs,
      ],
    );
    return rowCount === 1;
  }

  async find(runId: number): Promise<RunRecord | undefined> {
    const { rows } = await this.#pool.query<RunRecord>(
      `select ${runFields} from workflow_run where run_id = $1`,
      [runId],
    );
    return rows[0];
  }

  async list(before: number, limit: number, project: string | undefined): Promise<RunRecord[]> {
    const { rows } = await this.#pool.query<RunRecord>(
      `select ${runFields} from workflow_run
       where run_id < $1 and ($3::text is null or project = $3) order by run_id desc limit $2`,
      [before, limit, project ?? null],
    );
    return rows;
  }

  async openRunIds(): Promise<number[]> {
    const { rows } = await this.#pool.query<{ runId: number }>(
      'select run_id as "runId" from workflow_run where ended_at_ms is null order by run_id',
    );
    return rows.map((row) => row.runId);
  }

  async rounds(runId: number): Promise<RoundRecord[]> {
    const { rows } = await this.#pool.query<RoundRecord>(
      `select ${roundFields} from workflow_round where run_id = $1 order by round`,
      [runId],
    );
    return rows;
  }

  async latestRound(runId: number): Promise<RoundRecord | undefined> {
    const { rows } = await this.#pool.query<RoundRecord>(
      `select ${roundFields} from workflow_round where run_id = $1 order by round desc limit 1`,
      [runId],
    );
    return rows[0];
  }

  /** Writes a round that has not changed since it was read; the run's status goes with it. */
  async write(round: RoundRecord, state: RunState, nowMs: number): Promise<RoundRecord> {
    const { runId, round: number, version } = round;
    const endedAtMs = isFinalRun(state.status) ? nowMs : null;
    const { rowCount } = await this.#pool.query(
      `with written as (
         update workflow_round set state = $4, version = version + 1, ended_at_ms = $5
         where run_id = $1 and round = $2 and version = $3 returning run_id)
       update workflow_run set status = $6, ended_at_ms = $5 from written
       where workflow_run.run_id = written.run_id`,
      [runId, number, version, JSON.stringify(state), endedAtMs, state.status],
    );
    if (rowCount !== 1) throw new RoundChangedError(`run_${runId} was changed meanwhile`);
    return { ...round, state, version: version + 1, endedAtMs };
  }
}
