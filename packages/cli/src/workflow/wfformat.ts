import { literal } from '@majorana/core';
import type { StepWritten, WorkflowInput } from '@majorana/protocol';
import { z } from 'zod';
import { CliError } from '../output.ts';

/** What of WfFormat (WfCommons, 1.5) says what ran, after what, on which files and for how long. */
const wfFormatSchema = z.object({
  name: z.string().default('imported'),
  workflow: z.object({
    specification: z.object({
      tasks: z
        .array(
          z.object({
            id: z.string(),
            parents: z.array(z.string()).default([]),
            inputFiles: z.array(z.string()).default([]),
            outputFiles: z.array(z.string()).default([]),
          }),
        )
        .min(1),
      files: z.array(z.object({ id: z.string(), sizeInBytes: z.number().min(0) })).default([]),
    }),
    execution: z
      .object({
        tasks: z
          .array(
            z.object({
              id: z.string(),
              runtimeInSeconds: z.number().min(0).default(0),
              coreCount: z.number().min(0).default(1),
              memoryInBytes: z.number().min(0).default(0),
            }),
          )
          .default([]),
      })
      .default({ tasks: [] }),
  }),
});

export interface ReplayScale {
  /** Seconds of the replay for each second that was measured. */
  readonly time: number;
  readonly size: number;
}

/**
 * Takes $1 seconds, in which it writes each NAME=BYTES: what was recorded has its writing in it. The
 * step's name makes contents differ.
 */
const STAND_IN = `set -e
sleep "$1" & shift
for spec; do
  file="\${spec%=*}"
  case "$file" in */*) mkdir -p "\${file%/*}";; esac
  { echo "$0 $file"; head -c "\${spec##*=}" /dev/zero; } > "$file"
done
wait`;
const GIVEN = 'given_files';

const stepName = (id: string): string =>
  `${/^[A-Za-z_]/.test(id) ? '' : 't_'}${id.replaceAll(/\W/g, '_')}`.slice(0, 63);
/** A path below the task's folder, without what a reference would take for a glob. */
const fileName = (id: string): string =>
  id
    .replaceAll(/[*?{}[\]\0]/g, '_')
    .split('/')
    .filter((part) => part !== '' && part !== '.' && part !== '..')
    .join('/') || '_';

function uniqueNames(ids: readonly string[]): Map<string, string> {
  const taken = new Set([GIVEN]);
  const names = new Map<string, string>();
  for (const id of ids) {
    const base = stepName(id);
    let name = base;
    for (let at = 2; taken.has(name); at += 1) name = `${base.slice(0, 58)}_${at}`;
    taken.add(name);
    names.set(id, name);
  }
  return names;
}

/** A recorded execution as a workflow that moves as many files and waits as long, to a scale. */
export function importWfFormat(file: string, text: string, scale: ReplayScale): WorkflowInput {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new CliError(`${file}: is no JSON: ${(error as Error).message}`);
  }
  const checked = wfFormatSchema.safeParse(document);
  if (!checked.success) {
    const issues = checked.error.issues.slice(0, 20);
    throw new CliError(
      issues.map(({ path, message }) => `${file}: ${path.join('.')}: ${message}`).join('\n'),
    );
  }
  return replay(checked.data, scale);
}

function replay(document: z.output<typeof wfFormatSchema>, scale: ReplayScale): WorkflowInput {
  const { specification, execution } = document.workflow;
  const { tasks } = specification;
  const names = uniqueNames(tasks.map(({ id }) => id));
  const sizes = new Map(specification.files.map(({ id, sizeInBytes }) => [id, sizeInBytes]));
  const measured = new Map(execution.tasks.map((one) => [one.id, one]));
  const maker = new Map<string, string>();
  for (const task of tasks) {
    for (const id of task.outputFiles) if (!maker.has(id)) maker.set(id, names.get(task.id)!);
  }
  const given = new Set(tasks.flatMap((task) => task.inputFiles).filter((id) => !maker.has(id)));
  const standIn = (seconds: number, files: readonly string[]): StepWritten => ({
    argv: [
      'sh',
      '-c',
      literal(STAND_IN),
      '',
      String(Math.round(seconds * scale.time * 1000) / 1000),
      ...files.map((id) => `${fileName(id)}=${Math.round((sizes.get(id) ?? 0) * scale.size)}`),
    ],
    outputs: files.map(fileName),
    predictedMs: seconds * scale.time * 1000,
  });
  const steps: Record<string, StepWritten> = {};
  const add = (name: string, step: StepWritten): void => {
    steps[name] = { ...step, argv: step.argv!.with(3, name) };
  };
  if (given.size > 0) add(GIVEN, standIn(0, [...given]));
  for (const task of tasks) {
    const name = names.get(task.id)!;
    // A file that a task both takes and makes is its own: only what others made is laid in.
    const taken = [...new Set(task.inputFiles)].filter((id) => maker.get(id) !== name);
    const inputs = taken.map((id) => ({
      path: fileName(id),
      from: `${maker.get(id) ?? GIVEN}/${fileName(id)}`,
    }));
    const own = measured.get(task.id);
    const makes = [...new Set(task.outputFiles)].filter((id) => maker.get(id) === name);
    const after = task.parents.map((id) => names.get(id)).filter((one) => one !== undefined);
    add(name, { ...standIn(own?.runtimeInSeconds ?? 0, makes), inputs, after });
  }
  return { name: document.name.replaceAll(/[^\w.-]/g, '-').slice(0, 63) || 'imported', steps };
}
