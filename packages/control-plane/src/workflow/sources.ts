import { text as readAll } from 'node:stream/consumers';
import type { Scope, Source, StepFile, TaskFields } from '@majorana/core';
import {
  fillPlaceholders,
  isPattern,
  matchesPattern,
  resolveFiles,
  resolveValue,
  stepPathsOf,
  valueNames,
} from '@majorana/core';
import type { ObjectStore } from '@majorana/objects';
import { ObjectDamagedError, ObjectMissingError } from '@majorana/objects';
import type { DrivingResults, OutputFile, RoundRecord, RunRecord } from '@majorana/store';

/** What a condition or a value may read of a file. */
const TEXT_BYTES_MAX = 1024 * 1024;
/** 100,000 lines of several hundred characters. */
const LINES_BYTES_MAX = 64 * 1024 * 1024;

/** What was commanded can never be done: the step fails, and says why. */
export class RefusedError extends Error {
  override name = 'RefusedError';
}

export interface FoundFiles {
  readonly files: readonly StepFile[];
  /** Several may be there, and keep their own names. */
  readonly isFolder: boolean;
  readonly wasSkipped: boolean;
}

/** An object that is gone or damaged does not come back by waiting. */
function refuseLost(error: Error): never {
  const isLost = error instanceof ObjectMissingError || error instanceof ObjectDamagedError;
  throw isLost ? new RefusedError(error.message) : error;
}

const matches = (file: string | undefined, path: string): boolean =>
  file === undefined || path === file || (isPattern(file) && matchesPattern(file, path));

/** Where the references of one round lead. */
export class Sources {
  readonly #run: RunRecord;
  readonly #round: RoundRecord;
  readonly #results: Pick<DrivingResults, 'outputs'>;
  readonly #objects: Pick<ObjectStore, 'read' | 'stat'>;
  /** By path of the step; those of a round's ended steps stay what they are. */
  readonly #outputs = new Map<string, readonly OutputFile[]>();

  constructor(
    at: { readonly run: RunRecord; readonly round: RoundRecord },
    results: Pick<DrivingResults, 'outputs'>,
    objects: Pick<ObjectStore, 'read' | 'stat'>,
  ) {
    this.#run = at.run;
    this.#round = at.round;
    this.#results = results;
    this.#objects = objects;
  }

  async files(scope: Scope, reference: string): Promise<FoundFiles> {
    const source = resolveFiles(scope, this.#round.state.steps, reference);
    await this.#fetch(stepPathsOf(source));
    return this.#found(source, reference);
  }

  /** What many references lead to costs one statement, and not one for each. */
  async prefetch(scope: Scope, references: readonly string[]): Promise<void> {
    const { steps } = this.#round.state;
    await this.#fetch(references.flatMap((text) => stepPathsOf(resolveFiles(scope, steps, text))));
  }

  async #fetch(paths: readonly string[]): Promise<void> {
    const missing = [...new Set(paths)].filter((path) => !this.#outputs.has(path));
    if (missing.length === 0) return;
    const found = await this.#results.outputs(this.#round, missing, this.#run.project);
    for (const [path, files] of found) this.#outputs.set(path, files);
  }

  #found(source: Source, reference: string): FoundFiles {
    switch (source.kind) {
      case 'input':
        return this.#inputFiles(source);
      case 'file':
        return { files: [{ ...source, position: null }], isFolder: false, wasSkipped: false };
      case 'step':
        return this.#stepFiles(source, reference);
      case 'spread': {
        const files = source.elements.flatMap((one) =>
          this.#found(one.source, reference).files.map((file) => ({
            ...file,
            position: one.position,
            path: file.position === null ? file.path : `${file.position}/${file.path}`,
          })),
        );
        return { files, isFolder: true, wasSkipped: false };
      }
    }
  }

  #inputFiles({ name, file }: Extract<Source, { kind: 'input' }>): FoundFiles {
    const given = this.#round.inputs.files[name] ?? [];
    const isWhole = file === undefined || isPattern(file);
    const isFolder = this.#round.definition.inputs[name]?.kind === 'files' && isWhole;
    const files = given
      .filter(({ path }) => matches(file, path))
      .map((one) => ({ ...one, position: null }));
    if (files.length === 0 && !isFolder) {
      throw new RefusedError(`the input ${name} has no file ${file ?? ''}`.trimEnd());
    }
    return { files, isFolder, wasSkipped: false };
  }

  #stepFiles(
    { path, isFanOut, file }: Extract<Source, { kind: 'step' }>,
    reference: string,
  ): FoundFiles {
    const isFolder = isFanOut || file === undefined || isPattern(file);
    if (this.#round.state.steps[path]?.status === 'skipped') {
      return { files: [], isFolder, wasSkipped: true };
    }
    const all = this.#outputs.get(path);
    if (all === undefined) throw new RefusedError(`${reference}: ${path} has no results`);
    const files = all.filter((one) => matches(file, one.path));
    if (files.length === 0 && !isFolder) {
      const has = all
        .map((one) => one.path)
        .slice(0, 10)
        .join(', ');
      throw new RefusedError(
        `${reference}: ${path} has stored no ${file}; it has ${has || 'nothing'}`,
      );
    }
    return { files, isFolder, wasSkipped: false };
  }

  /** The texts of all files of a reference, one after the other. */
  async text(scope: Scope, reference: string, bytesMax = LINES_BYTES_MAX): Promise<string> {
    const { files } = await this.files(scope, reference);
    const texts: string[] = [];
    let left = bytesMax;
    for (const { object, path } of files) {
      const { sizeBytes } = await this.#objects.stat(object).catch(refuseLost);
      left -= sizeBytes;
      if (left < 0) throw new RefusedError(`${reference}: ${path} is more than ${bytesMax} bytes`);
      const text = await this.#objects.read(object).then(readAll).catch(refuseLost);
      // Neither PostgreSQL's text nor an argument holds one.
      if (text.includes('\0')) throw new RefusedError(`${reference}: ${path} is no text`);
      texts.push(text === '' || text.endsWith('\n') ? text : `${text}\n`);
    }
    return texts.join('');
  }

  smallText(scope: Scope, reference: string): Promise<string> {
    return this.text(scope, reference, TEXT_BYTES_MAX);
  }

  /** Everything that placeholders of a scope may name, beside what a step adds. */
  async values(scope: Scope): Promise<TaskFields> {
    const fields: Record<string, string> = {};
    for (const name of valueNames(scope)) fields[name] = await this.#value(scope, name);
    if (scope.around?.step.repeat !== undefined) fields['iteration'] = `${scope.around.ordinal}`;
    return fields;
  }

  async #value(scope: Scope, name: string): Promise<string> {
    const source = resolveValue(scope, this.#round.state.steps, name);
    if (source.kind === 'file') return (await this.smallText(source.scope, source.from)).trim();
    if (source.kind === 'text') {
      const values = await this.values(source.scope);
      return fillPlaceholders(source.text, { ...values, ...source.fields });
    }
    const given = this.#round.inputs.values[name] ?? this.#round.definition.inputs[name]?.default;
    if (given === undefined) throw new RefusedError(`the input ${name} has no value`);
    return given;
  }
}
