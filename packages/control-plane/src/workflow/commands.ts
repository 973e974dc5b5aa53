import type { Command, Condition, Fact, Located, TaskStep } from '@majorana/core';
import {
  fillPlaceholders,
  innerScope,
  isNested,
  judge,
  linesOf,
  locate,
  readPointer,
  remainingMs,
} from '@majorana/core';
import type { ObjectStore } from '@majorana/objects';
import type {
  DrivingResults,
  InstanceRecord,
  RoundRecord,
  RunRecord,
  RunWrite,
} from '@majorana/store';
import type { Engine } from '../engine/engine.ts';
import type { InputParts } from '../input-size.ts';
import { withInputBytes } from '../input-size.ts';
import { elementsOf, newInstance, prepareStep } from './prepare.ts';
import { RefusedError, Sources } from './sources.ts';
import { jobKeyOf, jobOf, settingsOf } from './step-job.ts';

/** Fields of a nested fan-out stand in its step's state, which is read whole. */
const SPREAD_BYTES_MAX = 8 * 1024 * 1024;

export interface CommandParts extends InputParts {
  readonly engine: Pick<Engine, 'submit' | 'hasJob' | 'cancelJob'>;
  readonly results: DrivingResults;
  readonly objects: Pick<ObjectStore, 'read' | 'stat'>;
  readonly clock: { nowMs(): number };
}
/** A fact, and what is to be written in the transaction that takes it in. */
export interface Learned {
  readonly fact: Fact;
  readonly write?: RunWrite;
}
export interface RoundAt {
  readonly run: RunRecord;
  readonly round: RoundRecord;
}

/** Does what a run's round commands, one by one; each may be done again. */
export class Commands {
  readonly #ports: CommandParts;
  readonly #at: RoundAt;
  readonly #sources: Sources;
  readonly #isCurrent: () => boolean;

  /** `isCurrent`: nobody else has begun to do what this round commands. */
  constructor(ports: CommandParts, at: RoundAt, isCurrent: () => boolean) {
    this.#ports = ports;
    this.#at = at;
    this.#isCurrent = isCurrent;
    this.#sources = new Sources(at, ports.results, ports.objects);
  }

  /** What was learned; undefined: it is not over yet. */
  async do(command: Command): Promise<Learned | undefined> {
    const { path } = command;
    try {
      switch (command.kind) {
        case 'decide':
          return { fact: await this.#decide(path, command.iteration) };
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
      return { fact: { kind: 'refused', path, reason: error.message } };
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

  /** Equal elements have one place in the job. */
  async #prepare(path: string): Promise<Learned> {
    const { results, clock } = this.#ports;
    const { run, round } = this.#at;
    const { step } = this.#locate(path);
    if (isNested(step)) return { fact: await this.#spread(path) };
    const located = this.#task(path);
    const only = { runId: run.runId, path };
    const { template, elements: own } = await prepareStep(this.#sources, located, only);
    const keys = own.map(({ key }) => key);
    const found = await results.reuse(run, keys, clock.nowMs());
    const places = new Map<string, number>();
    for (const key of keys) if (!found.has(key) && !places.has(key)) places.set(key, places.size);
    const elements = own.map((element) => ({
      ...element,
      jobPosition: places.get(element.key) ?? null,
    }));
    const elementCount = elements.length;
    const reusedCount = keys.filter((key) => found.has(key)).length;
    const instance = newInstance(round, path, located, { template, reusedCount });
    return {
      fact: { kind: 'prepared', path, elementCount, reusedCount },
      write: { kind: 'instance', instance, elements },
    };
  }

  async #spread(path: string): Promise<Fact> {
    const elements = await elementsOf(this.#sources, this.#locate(path));
    const byteCount = elements.reduce((sum, one) => sum + JSON.stringify(one).length, 0);
    if (byteCount > SPREAD_BYTES_MAX) {
      const what = `the fields of the elements are ${byteCount} bytes, and may be ${SPREAD_BYTES_MAX}`;
      throw new RefusedError(`${what}: name files instead`);
    }
    return { kind: 'prepared', path, elementCount: elements.length, reusedCount: 0, elements };
  }

  async #submit(path: string): Promise<Learned | undefined> {
    const { results, engine } = this.#ports;
    const { definition, state } = this.#at.round;
    const instance = await this.#instance(path);
    const { instanceId } = instance;
    if (state.status === 'cancelling') {
      const isThere = await engine.hasJob(this.#at.run.project, jobKeyOf(instance));
      if (!isThere) return { fact: { kind: 'withdrawn', path } };
    }
    const located = this.#task(path);
    const settings = settingsOf(definition, located.step);
    const place = {
      sinceMs: this.#at.round.startedAtMs,
      remainingMs: remainingMs(located),
      predictedMs: located.step.predictedMs,
    };
    const job = await jobOf(results, this.#at.run, { instance, settings, place });
    const spec = await withInputBytes(this.#ports, job);
    // Whoever does it now may have found that there is none, and withdrawn it.
    if (!this.#isCurrent()) return undefined;
    const { jobId } = await engine.submit(spec);
    return {
      fact: { kind: 'submitted', path, jobId },
      write: { kind: 'job', instanceId, jobId },
    };
  }

  async #instance(path: string): Promise<InstanceRecord> {
    const { runId, round } = this.#at.round;
    const instance = await this.#ports.results.instance(runId, round, path);
    if (instance === undefined) throw new Error(`${path} of run_${runId} was not prepared`);
    return instance;
  }

  async #lookAt(path: string, jobId: number): Promise<Learned | undefined> {
    const { reads, results } = this.#ports;
    const [job, instance] = await Promise.all([reads.job(jobId), this.#instance(path)]);
    if (job !== undefined && job.endedAtMs === null) return undefined;
    const { project } = this.#at.run;
    const isWell = job !== undefined && job.counts.succeeded === job.taskCount;
    const { failedCount, failed } = isWell
      ? { failedCount: 0, failed: [] }
      : await results.failed(instance, project);
    return {
      fact: { kind: 'ended', path, failedCount, failed },
      write: { kind: 'harvest', instance, project },
    };
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
