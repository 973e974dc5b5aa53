import type { FailedElement, RunState, StepState, WorkflowDefinition } from '@majorana/core';
import { elementLabel, formatTaskId, isFinalRun, NAMED_MAX } from '@majorana/core';
import type { MemoryDatabase } from './memory-store.ts';
import type { ParameterSetRecord } from './parameter-sets.ts';
import type { InstanceRecord, NewElement } from './elements.ts';
import type { Reader } from './reuse.ts';
import type { DrivingResults, OutputFile, RoundNumber, RunWrite } from './step-results.ts';
import type { NewRun, OpenRuns, RoundAddress, RoundRecord } from './workflow-runs.ts';
import type { RoundChange, RunChange, RunRecord } from './workflow-runs.ts';
import { RoundChangedError } from './workflow-runs.ts';

interface Result {
  readonly outputs: readonly Omit<OutputFile, 'position'>[];
}

const newRound = (at: RoundNumber, change: RoundChange, nowMs: number): RoundRecord => ({
  ...at,
  definition: structuredClone(change.definition) as WorkflowDefinition,
  inputs: change.inputs,
  state: { status: 'running', steps: {} },
  version: 0,
  startedAtMs: nowMs,
  endedAtMs: null,
});

/**
 * Runs and results in memory, beside a database in memory, with the rules of those in PostgreSQL:
 * a write is whole or not at all, an instance is made once, and the first result of a key stays.
 */
export class MemoryWorkflows implements OpenRuns, DrivingResults {
  readonly #database: MemoryDatabase;
  readonly #runs = new Map<number, RunRecord>();
  /** Of each run, the latest last. */
  readonly #rounds = new Map<number, RoundRecord[]>();
  readonly #instances: InstanceRecord[] = [];
  readonly #elements = new Map<number, readonly NewElement[]>();
  /** By project and key. */
  readonly #results = new Map<string, Result>();

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  create({ project, user, definition, inputs }: NewRun, nowMs: number): number {
    const runId = this.#runs.size + 1;
    const times = { createdAtMs: nowMs, endedAtMs: null };
    const { name } = definition;
    this.#runs.set(runId, { runId, project, name, user, round: 1, status: 'running', ...times });
    this.#rounds.set(runId, [newRound({ runId, round: 1 }, { definition, inputs }, nowMs)]);
    return runId;
  }

  async resume(runId: number, change: RoundChange, nowMs: number): Promise<boolean> {
    const run = this.#runs.get(runId);
    if (run === undefined || run.endedAtMs === null) return false;
    const round = run.round + 1;
    const { name } = change.definition;
    this.#runs.set(runId, { ...run, round, name, status: 'running', endedAtMs: null });
    this.#rounds.get(runId)!.push(newRound({ runId, round }, change, nowMs));
    return true;
  }

  async rounds(runId: number): Promise<RoundRecord[]> {
    return structuredClone(this.#rounds.get(runId) ?? []);
  }

  get openCount(): number {
    return [...this.#runs.values()].filter((run) => run.endedAtMs === null).length;
  }

  async openRunIds(): Promise<number[]> {
    return [...this.#runs.values()].filter((run) => run.endedAtMs === null).map((run) => run.runId);
  }

  async find(runId: number): Promise<RunRecord | undefined> {
    return this.#runs.get(runId);
  }

  async latestRound(runId: number): Promise<RoundRecord | undefined> {
    const round = this.#rounds.get(runId)?.at(-1);
    return round && { ...round, state: structuredClone(round.state) };
  }

  async write(address: RoundAddress, change: RunChange, nowMs: number): Promise<void> {
    const { runId, version } = address;
    const run = this.#runs.get(runId);
    const round = this.#rounds.get(runId)?.at(-1);
    if (run === undefined || round?.version !== version || round.round !== address.round) {
      throw new RoundChangedError(`run_${runId} was changed meanwhile`);
    }
    // Before anything is written: an instance that is there already refuses all of it.
    for (const write of change.writes) this.#check(write);
    const { status } = change;
    const endedAtMs = isFinalRun(status) ? nowMs : null;
    const steps: Record<string, StepState> = {
      ...round.state.steps,
      ...structuredClone(Object.fromEntries(change.steps)),
    };
    const state: RunState = { status, steps };
    const written = { ...round, state, version: version + 1, endedAtMs };
    this.#rounds.get(runId)!.splice(-1, 1, written);
    this.#runs.set(runId, { ...run, status, endedAtMs });
    for (const write of change.writes) this.#apply(write, nowMs);
  }

  #check(write: RunWrite): void {
    if (write.kind !== 'instance') return;
    const { runId, round, path } = write.instance;
    if (this.#find(runId, round, path) !== undefined) {
      throw new Error(`an instance of ${path} of run_${runId} is there already`);
    }
  }

  #apply(write: RunWrite, nowMs: number): void {
    if (write.kind === 'instance') {
      const instanceId = this.#instances.length + 1;
      const elementCount = write.elements.length;
      const made = { instanceId, elementCount, jobId: null, createdAtMs: nowMs };
      this.#instances.push({ ...structuredClone(write.instance), ...made });
      this.#elements.set(instanceId, structuredClone(write.elements));
    } else if (write.kind === 'job') {
      const at = write.instanceId - 1;
      this.#instances[at] = { ...this.#instances[at]!, jobId: write.jobId };
    } else this.#harvest(write.instance, write.project);
  }

  #harvest(instance: InstanceRecord, project: string): void {
    if (instance.jobId === null) return;
    const { tasks, artifacts } = this.#database.rowsOf(instance.jobId);
    for (const { key, jobPosition } of this.#elements.get(instance.instanceId)!) {
      const task = jobPosition === null ? undefined : tasks.get(jobPosition);
      const name = `${project} ${key}`;
      if (task?.state !== 'succeeded' || this.#results.has(name)) continue;
      const outputs = [...artifacts.values()]
        .filter(
          ({ position, attemptNumber, role }) =>
            position === jobPosition && attemptNumber === task.attemptNumber && role === 'output',
        )
        .map(({ path, object, sizeBytes }) => ({ path, object, sizeBytes }))
        .toSorted((a, b) => (a.path < b.path ? -1 : 1));
      this.#results.set(name, { outputs });
    }
  }

  #find(runId: number, round: number, path: string): InstanceRecord | undefined {
    return this.#instances.find(
      (one) => one.runId === runId && one.round === round && one.path === path,
    );
  }

  async instance(runId: number, round: number, path: string): Promise<InstanceRecord | undefined> {
    return this.#find(runId, round, path);
  }

  async instances(runId: number, round: number): Promise<InstanceRecord[]> {
    return this.#instances.filter((one) => one.runId === runId && one.round === round);
  }

  async reuse({ project }: Reader, keys: readonly string[]): Promise<Set<string>> {
    return new Set(keys.filter((key) => this.#results.has(`${project} ${key}`)));
  }

  async parametersOf(instanceId: number): Promise<ParameterSetRecord> {
    const byPlace = new Map<number, NewElement>();
    for (const element of this.#elements.get(instanceId)!) {
      const { jobPosition } = element;
      if (jobPosition !== null && !byPlace.has(jobPosition)) byPlace.set(jobPosition, element);
    }
    const records = Array.from({ length: byPlace.size }, (_, place) => byPlace.get(place)!.fields);
    const parameterSetId = this.#database.addParameterSet(records);
    return { parameterSetId, recordCount: records.length, fieldNames: Object.keys(records[0]!) };
  }

  async failed(
    instance: InstanceRecord,
    project: string,
  ): Promise<{ failedCount: number; failed: FailedElement[] }> {
    const jobId = instance.jobId ?? 0;
    const { tasks } = this.#database.rowsOf(jobId);
    const all = this.#elements.get(instance.instanceId)!.flatMap((element, position) => {
      const { jobPosition, fields, key } = element;
      if (jobPosition === null || this.#results.has(`${project} ${key}`)) return [];
      const task = tasks.get(jobPosition);
      if (task?.state === 'succeeded') return [];
      const label = instance.isFanOut ? elementLabel(fields) : '';
      const taskId = formatTaskId({ jobId, taskIndex: jobPosition });
      return [{ position, label, taskId, reason: task?.reason ?? 'cancelled before it began' }];
    });
    return { failedCount: all.length, failed: all.slice(0, NAMED_MAX) };
  }

  async outputs(
    { runId, round }: RoundNumber,
    paths: readonly string[],
    project: string,
  ): Promise<Map<string, OutputFile[]>> {
    const found = new Map<string, OutputFile[]>();
    for (const path of paths) {
      const instance = this.#find(runId, round, path);
      if (instance === undefined) continue;
      const elements = this.#elements.get(instance.instanceId)!;
      const files = elements.flatMap(({ key }, position) =>
        (this.#results.get(`${project} ${key}`)?.outputs ?? []).map((file) => ({
          ...file,
          position: instance.isFanOut ? position : null,
        })),
      );
      found.set(path, files);
    }
    return found;
  }
}
