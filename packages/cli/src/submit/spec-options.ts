import path from 'node:path';
import { parseArray } from '@majorana/core';
import type { JobSpecInput } from '@majorana/protocol';
import { NAME_LENGTH_MAX } from '@majorana/protocol';
import { datasetOf } from '../data/inputs.ts';
import { CliError } from '../output.ts';
import { readAfter } from './after.ts';
import type { ContainerOptions } from './container-options.ts';
import { readContainer, readGang } from './container-options.ts';
import type { Draft, DraftInput } from './draft.ts';
import { parseBytes, parseCores, parseCounts, parseDuration, parsePairs } from './quantities.ts';
import type { RetryOptions } from './retry-options.ts';
import { readRetry } from './retry-options.ts';

export interface SpecOptions extends RetryOptions, ContainerOptions {
  readonly array?: string;
  readonly each?: string;
  readonly params?: string;
  readonly files?: string;
  readonly name?: string;
  readonly project?: string;
  readonly queue?: string;
  readonly priority?: number;
  readonly cores?: string;
  readonly memory?: string;
  readonly scratch?: string;
  readonly shm?: string;
  readonly gpus?: number;
  readonly resource: readonly string[];
  readonly timeLimit?: string;
  readonly grace?: string;
  readonly checkpoint?: string;
  readonly checkpointTime?: string;
  readonly parallel?: number;
  readonly env: readonly string[];
  readonly label: readonly string[];
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly after: readonly string[];
  readonly idempotencyKey?: string;
}

/** The entries that are there: a draft holds only what was said. */
function given<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(
    Object.entries(values).filter(
      ([, value]) =>
        value !== undefined &&
        !(typeof value === 'object' && value !== null && Object.keys(value as object).length === 0),
    ),
  ) as { [K in keyof T]?: NonNullable<T[K]> };
}

function readRanges(text: string): Pick<Draft, 'array' | 'parallelMax'> {
  const parsed = parseArray(text);
  if (!parsed.ok) {
    const pointer = `${' '.repeat(parsed.position)}^`;
    throw new CliError(
      `--array: ${parsed.why}, at position ${parsed.position}:\n  ${text}\n  ${pointer}`,
    );
  }
  return given({
    array: { kind: 'range' as const, ranges: parsed.ranges },
    parallelMax: parsed.parallelMax,
  });
}

const FORMS = ['array', 'each', 'params', 'files'] as const;

/** At most one of the four forms; none is a single task. */
export function readArrayOption(options: SpecOptions): Pick<Draft, 'array' | 'parallelMax'> {
  const named = FORMS.filter((name) => options[name] !== undefined);
  if (named.length > 1) throw new CliError(`--${named.join(' and --')} exclude each other`);
  const { array, each, params, files } = options;
  if (array !== undefined) return readRanges(array);
  if (each !== undefined) return { array: { kind: 'each', file: localPath(each) } };
  if (params !== undefined) return { array: { kind: 'params', file: localPath(params) } };
  return files === undefined ? {} : { array: { kind: 'files', glob: localGlob(files) } };
}

/** Absolute, so that the printed spec means the same everywhere; `-` is standard input. */
const localPath = (file: string): string => (file === '-' ? file : path.resolve(file));

/** The folder's own name may hold what means something in a pattern. */
const localGlob = (glob: string): string =>
  path.isAbsolute(glob)
    ? glob
    : `${process.cwd().replaceAll(/[()[\]{}!*?@|+\\]/g, String.raw`\$&`)}/${glob}`;

/** `FILE`, `FILE=NAME` or `dataset:NAME@3/PATH=NAME`; the last is the path in the task's folder. */
export function readInput(text: string): DraftInput {
  const at = text.lastIndexOf('=');
  const file = at < 0 ? text : text.slice(0, at);
  const name = at < 0 ? path.basename(text) : text.slice(at + 1);
  if (file === '' || name === '')
    throw new CliError(`--input ${text}: FILE or FILE=NAME is expected`);
  const dataset = datasetOf(file);
  if (dataset !== undefined) return { dataset, ...(at < 0 ? {} : { path: name }) };
  return { file: localPath(file), path: name };
}

function readResources(options: SpecOptions): JobSpecInput['resources'] {
  const bytes = (option: string, text: string | undefined): number | undefined =>
    text === undefined ? undefined : parseBytes(option, text);
  return given({
    cpuMillis: options.cores === undefined ? undefined : parseCores('--cores', options.cores),
    memoryBytes: bytes('--memory', options.memory),
    scratchBytes: bytes('--scratch', options.scratch),
    shmBytes: bytes('--shm', options.shm),
    gpuCount: options.gpus,
    countable: parseCounts('--resource', options.resource),
  });
}

/** Words between blanks, which no shell reads; a spec file can have any. */
function readCheckpoint({ checkpoint, checkpointTime }: SpecOptions): JobSpecInput['checkpoint'] {
  if (checkpoint === undefined) {
    if (checkpointTime !== undefined) throw new CliError('--checkpoint-time needs --checkpoint');
    return undefined;
  }
  const argv = checkpoint.split(/\s+/).filter((word) => word !== '');
  if (argv.length === 0) throw new CliError('--checkpoint: a program is expected');
  const time =
    checkpointTime === undefined ? undefined : parseDuration('--checkpoint-time', checkpointTime);
  return { argv, ...given({ timeMs: time }) };
}

/** As much of the program as a name may be long; a folder's end is no name. */
const nameOf = ([program = '']: readonly string[]): string | undefined =>
  path.basename(program).slice(0, NAME_LENGTH_MAX) || undefined;

/** What the command line says, as a draft. */
export function readOptions(words: readonly string[], options: SpecOptions): Draft {
  const { array, parallelMax } = readArrayOption(options);
  const { timeLimit, grace } = options;
  return {
    argv: [...words],
    ...given({
      name: options.name ?? nameOf(words),
      project: options.project,
      queue: options.queue,
      priority: options.priority,
      labels: parsePairs('--label', options.label),
      env: parsePairs('--env', options.env),
      array,
      parallelMax: options.parallel ?? parallelMax,
      resources: readResources(options),
      container: readContainer(options),
      gang: readGang(options),
      cluster: options.cluster,
      timeLimitMs: timeLimit === undefined ? undefined : parseDuration('--time-limit', timeLimit),
      graceMs: grace === undefined ? undefined : parseDuration('--grace', grace),
      checkpoint: readCheckpoint(options),
      inputs: options.input.map(readInput),
      outputs: [...options.output],
      after: options.after.map(readAfter),
      retry: readRetry(options),
      idempotencyKey: options.idempotencyKey,
    }),
  };
}
