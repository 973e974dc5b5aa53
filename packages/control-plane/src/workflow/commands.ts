import type { Command, Condition, Fact, Located, TaskStep } from '@majorana/core';
import {
  fillPlaceholders,
  innerScope,
  isNested,
  judge,
  linesOf,
  locate,
  readPointer,
} from '@majorana/core';
import type { ObjectStore } from '@majorana/objects';
import type { Reads, RoundRecord, RunRecord, StepResults } from '@majorana/store';
import type { Pool } from 'pg';
import type { Engine } from '../engine/engine.ts';
import { newInstance, prepareStep } from './prepare.ts';
import { RefusedError, Sources } from './sources.ts';
import type { RunSettings } from './step-job.ts';
import { jobOf } from './step-job.ts';

export interface CommandPorts {
  readonly engine: Pick<Engine, 'submit' | 'cancelJob'>;
  readonly reads: Pick<Reads, 'job'>;
  readonly results: StepResults;
  readonly objects: ObjectStore;
  readonly pool: Pool;
  readonly nowMs: () => number;
}
export interface RoundAt {
  readonly run: RunRecord;
  readonly round: RoundRecord;
}

/** Does what a run's round commands, one by one; each may be done again. */
export class Commands {
  readonly #ports: CommandPorts;
  readonly #at: RoundAt;
  readonly #sources: Sources;

  constructor(ports: CommandPorts, at: RoundAt) {
    this.#ports = ports;
    this.#at = at;
    this.#sources = new Sources(at, ports.results, ports.objects);
  }

  /** What was learned; undefined: it is not over yet. */
  async do(command: Command): Promise<Fact | undefined> {
    const { path } = command;
    try {
      switch (command.kind) {
        case 'decide':
          return await this.#decide(path, command.iteration);
        case 'prepare':
          return await this.#prepare(path);
        case 'submit':
          return await this.#submit(path);
        case 'cancel':
          await this.#ports.engine.cancelJob(command.jobId);
          return await this.#lookAt(path, command.jobId);
        case 'await':
          return await this.#lookAt(path, command.jobId);
      }
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      return { kind: 'refused', path, reason: error.message };
    }
  }

  #locate(path: string): Located {
    const located = locate(this.#at.round.definition, path);
    if (located === undefined) throw new Error(`run_${this.#at.run.runId} has no step ${path}`);
    return located;
  }

  #task(path: string): Located & { readonly step: TaskStep } {
    const located = this.#locate(path);
    if (isNested(located.step)) throw new Error(`${path} is a nested workflow`);
    return { ...located, step: located.step };
  }

  async #decide(path: string, iteration: number | null): Promise<Fact> {
    const { scope, step, name } = this.#locate(path);
    let inside = scope;
    let condition: Condition | undefined = step.when;
    if (iteration !== null && isNested(step)) {
      inside = innerScope(scope, name, step, iteration);
      condition = step.repeat?.until;
    }
    if (condition === undefined) throw new Error(`${path} has no condition`);
    let found: string | number;
    if (condition.kind === 'value') {
      found = fillPlaceholders(condition.value, await this.#sources.values(inside));
    } else if (condition.kind === 'files') {
      found = (await this.#sources.files(inside, condition.from)).files.length;
    } else {
      const text = await this.#sources.smallText(inside, condition.from);
      found = condition.kind === 'lines' ? linesOf(text).length : text.trim();
      if (condition.kind === 'json') found = pointed(text, condition.pointer, condition.from);
    }
    const { holds, why } = judge(condition, found);
    return { kind: 'decided', path, iteration, holds, why };
  }

  async #prepare(path: string): Promise<Fact> {
    const { results, nowMs } = this.#ports;
    const { runId, round } = this.#at.round;
    const { project } = this.#at.run;
    let instance = await results.instance(runId, round, path);
    if (instance === undefined) {
      const located = this.#task(path);
      const prepared = await prepareStep(this.#sources, located, { runId, path });
      const made = newInstance({ runId, round, project }, path, located, prepared.template);
      await results.prepare(made, prepared.elements, nowMs());
      instance = (await results.instance(runId, round, path))!;
    }
    const { elementCount, reusedCount } = instance;
    return { kind: 'prepared', path, elementCount, reusedCount };
  }

  async #submit(path: string): Promise<Fact> {
    const { results, engine, pool } = this.#ports;
    const { runId, round, definition } = this.#at.round;
    const instance = await results.instance(runId, round, path);
    if (instance === undefined) throw new Error(`${path} of run_${runId} was not prepared`);
    if (instance.jobId !== null) return { kind: 'submitted', path, jobId: instance.jobId };
    const { queue } = definition as unknown as { queue: string };
    const step = this.#task(path).step as TaskStep & Omit<RunSettings, 'queue'>;
    const settings: RunSettings = { ...step, queue };
    const spec = await jobOf(pool, results, this.#at.run, { instance, settings });
    const { jobId } = await engine.submit(spec);
    await results.setJob(instance.instanceId, jobId);
    return { kind: 'submitted', path, jobId };
  }

  async #lookAt(path: string, jobId: number): Promise<Fact | undefined> {
    const { reads, results, nowMs } = this.#ports;
    const { runId, round } = this.#at.round;
    const job = await reads.job(jobId);
    if (job !== undefined && job.endedAtMs === null) return undefined;
    const instance = (await results.instance(runId, round, path))!;
    await results.harvest(instance, this.#at.run.project, nowMs());
    const { failedCount, failed } = await results.failed(instance, this.#at.run.project);
    return { kind: 'ended', path, failedCount, failed };
  }
}

function pointed(text: string, pointer: string, from: string): string | number {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new RefusedError(`${from} is no JSON: ${(error as Error).message}`);
  }
  const found = readPointer(document, pointer);
  if (found === undefined) throw new RefusedError(`${from}: nothing to compare at ${pointer}`);
  return found;
}
