import type { RunState, RunSteps, RunStatus, StepState, WorkflowDefinition } from '@majorana/core';
import { isFinalRun } from '@majorana/core';
import type { RunInputs } from '@majorana/protocol';
import type pg from 'pg';
import type { RunWrite } from './step-results.ts';
import { applyWrite } from './step-results.ts';
import { inTransaction } from './transaction.ts';

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

/** What a new round is to run. */
export type RoundChange = Pick<RoundRecord, 'definition' | 'inputs'>;

/** What a run has learned: its steps as they are now, and what else is true from then on. */
export interface RunChange {
  readonly status: RunStatus;
  readonly steps: ReadonlyMap<string, StepState>;
  readonly writes: readonly RunWrite[];
}

/** What drives runs needs of their records. */
export interface OpenRuns {
  openRunIds(): Promise<number[]>;
  find(runId: number): Promise<RunRecord | undefined>;
  latestRound(runId: number): Promise<RoundRecord | undefined>;
  write(round: RoundAddress, change: RunChange, nowMs: number): Promise<void>;
}
export type RoundAddress = Pick<RoundRecord, 'runId' | 'round' | 'version'>;

/** Somebody else has written the round meanwhile: read it again. */
export class RoundChangedError extends Error {
  override name = 'RoundChangedError';
}

const runFields = `run_id as "runId", project, name, user_name as "user", round, status,
  created_at_ms as "createdAtMs", ended_at_ms as "endedAtMs"`;
const roundFields = `run_id as "runId", round, definition, inputs, status, version,
  started_at_ms as "startedAtMs", ended_at_ms as "endedAtMs"`;
type RoundRow = Omit<RoundRecord, 'state'> & { readonly status: RunStatus };

/** Runs of workflows and their rounds. */
export class WorkflowRuns implements OpenRuns {
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
         insert into workflow_round (run_id, round, definition, inputs, status, version, started_at_ms)
         select run_id, 1, $6, $7, 'running', 0, $4 from run)
       select run_id as "runId" from run`,
      [
        project,
        definition.name,
        user,
        nowMs,
        idempotencyKey,
        JSON.stringify(definition),
        JSON.stringify(inputs),
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
  async resume(runId: number, change: RoundChange, nowMs: number): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      `with run as (
         update workflow_run set round = round + 1, status = 'running', ended_at_ms = null, name = $4
         where run_id = $1 and ended_at_ms is not null returning run_id, round)
       insert into workflow_round (run_id, round, definition, inputs, status, version, started_at_ms)
       select run_id, round, $2, $3, 'running', 0, $5 from run`,
      [
        runId,
        JSON.stringify(change.definition),
        JSON.stringify(change.inputs),
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

  rounds(runId: number): Promise<RoundRecord[]> {
    return this.#rounds('where run_id = $1 order by round', runId);
  }

  async latestRound(runId: number): Promise<RoundRecord | undefined> {
    return (await this.#rounds('where run_id = $1 order by round desc limit 1', runId))[0];
  }

  async #rounds(which: string, runId: number): Promise<RoundRecord[]> {
    const sql = `select ${roundFields} from workflow_round ${which}`;
    const { rows } = await this.#pool.query<RoundRow>(sql, [runId]);
    return Promise.all(
      rows.map(async ({ status, ...round }) => {
        const steps = await this.#steps(runId, round.round);
        return { ...round, state: { status, steps } };
      }),
    );
  }

  async #steps(runId: number, round: number): Promise<RunSteps> {
    const { rows } = await this.#pool.query<{ path: string; state: StepState }>(
      'select path, state from workflow_step where run_id = $1 and round = $2',
      [runId, round],
    );
    return Object.fromEntries(rows.map(({ path, state }) => [path, state]));
  }

  /** The run whose step a job runs, if it is one's. */
  async runOfJob(jobId: number): Promise<{ runId: number; path: string } | undefined> {
    const { rows } = await this.#pool.query<{ runId: number; path: string }>(
      'select run_id as "runId", path from workflow_instance where job_id = $1',
      [jobId],
    );
    return rows[0];
  }

  /**
   * Steps and everything that is true with them, in one transaction: whole or not at all, and only
   * when the round has not changed since it was read. Costs what has changed, not what there is.
   */
  async write(address: RoundAddress, change: RunChange, nowMs: number): Promise<void> {
    const { runId, round, version } = address;
    const { status, steps, writes } = change;
    const endedAtMs = isFinalRun(status) ? nowMs : null;
    await inTransaction(this.#pool, async (client) => {
      const { rowCount } = await client.query(
        `with round as (
           update workflow_round set status = $4, version = version + 1, ended_at_ms = $5
           where run_id = $1 and round = $2 and version = $3 returning run_id, round),
         step as (
           insert into workflow_step (run_id, round, path, state)
           select run_id, round, path, state from round,
             unnest($6::text[], $7::json[]) as one(path, state)
           on conflict (run_id, round, path) do update set state = excluded.state)
         update workflow_run set status = $4, ended_at_ms = $5 from round
         where workflow_run.run_id = round.run_id`,
        [
          runId,
          round,
          version,
          status,
          endedAtMs,
          [...steps.keys()],
          [...steps.values()].map((state) => JSON.stringify(state)),
        ],
      );
      if (rowCount !== 1) throw new RoundChangedError(`run_${runId} was changed meanwhile`);
      for (const write of writes) await applyWrite(client, write, nowMs);
    });
  }
}
