import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArray } from '@majorana/core';
import type { JobSpecInput } from '@majorana/protocol';
import { CliError } from '../output.ts';

export interface ArrayOptions {
  readonly array?: string;
  readonly each?: string;
  readonly params?: string;
  readonly files?: string;
}

type Records = Record<string, string>[];
export interface ArrayChoice {
  readonly array?: NonNullable<JobSpecInput['array']>;
  readonly parallelMax?: number;
  /** Files that become objects, in the order of the records. */
  readonly files?: string[];
}

function readLines(file: string): string[] {
  const lines = readFileSync(file, 'utf8').split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

function readJsonLines(file: string): Records {
  return readLines(file).map((line, position) => {
    try {
      const record = JSON.parse(line) as Record<string, unknown>;
      if (typeof record !== 'object' || record === null || Array.isArray(record))
        throw new Error('not an object');
      return Object.fromEntries(
        Object.entries(record).map(([name, value]) => [
          name,
          typeof value === 'string' ? value : JSON.stringify(value),
        ]),
      );
    } catch (error) {
      throw new CliError(
        `${file}, line ${position + 1}: ${(error as Error).message}; each line is one JSON object`,
      );
    }
  });
}

async function readParams(file: string): Promise<Records> {
  if (/\.(jsonl|ndjson)$/.test(file)) return readJsonLines(file);
  const { parse } = await import('csv-parse/sync');
  try {
    return parse(readFileSync(file), {
      columns: true,
      bom: true,
      trim: true,
      skip_empty_lines: true,
    });
  } catch (error) {
    throw new CliError(`${file}: ${(error as Error).message}`);
  }
}

async function fileRecords(pattern: string): Promise<{ records: Records; files: string[] }> {
  const { glob } = await import('tinyglobby');
  const files = (await glob(pattern, { absolute: true })).toSorted();
  if (files.length === 0) throw new CliError(`--files ${pattern}: no file matches`);
  const records = files.map((file) => ({ file: path.basename(file), stem: path.parse(file).name }));
  return { records, files };
}

/** At most one of the four forms; none is a single task. */
export async function readArray(options: ArrayOptions): Promise<ArrayChoice> {
  const given = (['array', 'each', 'params', 'files'] as const).filter(
    (name) => options[name] !== undefined,
  );
  if (given.length > 1) throw new CliError(`--${given.join(' and --')} exclude each other`);
  if (options.array !== undefined) {
    const parsed = parseArray(options.array);
    if (!parsed.ok)
      throw new CliError(`--array ${options.array}, position ${parsed.position}: ${parsed.why}`);
    return {
      array: { kind: 'range', ranges: parsed.ranges },
      ...(parsed.parallelMax === undefined ? {} : { parallelMax: parsed.parallelMax }),
    };
  }
  if (options.each !== undefined) {
    return {
      array: { kind: 'fields', records: readLines(options.each).map((line) => ({ line })) },
    };
  }
  if (options.params !== undefined) {
    return { array: { kind: 'fields', records: await readParams(options.params) } };
  }
  if (options.files === undefined) return {};
  const { records, files } = await fileRecords(options.files);
  return { array: { kind: 'fields', records }, files };
}
