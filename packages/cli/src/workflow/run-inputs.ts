import path from 'node:path';
import type { Client } from '@majorana/client';
import type { RunInputs, RunRequest } from '@majorana/protocol';
import { datasetInputs, datasetOf } from '../data/inputs.ts';
import { CliError } from '../output.ts';
import { parsePairs } from '../submit/quantities.ts';
import { mapInOrder, uploadFile } from '../submit/upload.ts';
import type { WrittenStep, WrittenWorkflow } from './workflow-file.ts';

const UPLOADS_AT_ONCE = 8;

type NamedFile = RunInputs['files'][string][number];

async function uploadAll(client: Client, files: readonly string[]): Promise<NamedFile[]> {
  const uploaded: NamedFile[] = [];
  const each = mapInOrder(files, UPLOADS_AT_ONCE, async (file) => ({
    path: path.basename(file),
    object: await uploadFile(client, file),
  }));
  for await (const one of each) uploaded.push(one);
  return uploaded;
}

async function filesOf(name: string, pattern: string): Promise<string[]> {
  const { glob } = await import('tinyglobby');
  const files = (await glob(pattern, { absolute: true, dot: false })).toSorted();
  if (files.length === 0) throw new CliError(`--input ${name}=${pattern}: no file matches`);
  return files;
}

/** `--input name=value` by what the workflow declares: a text, a file, a glob of files, or files of a dataset. */
export async function readInputs(
  client: Client,
  workflow: WrittenWorkflow,
  pairs: readonly string[],
  project = workflow.project,
): Promise<RunInputs> {
  const inputs: RunInputs = { values: {}, files: {} };
  for (const [name, value] of Object.entries(parsePairs('--input', pairs))) {
    const declared = Object.hasOwn(workflow.inputs, name) ? workflow.inputs[name] : undefined;
    if (declared === undefined) {
      const known = Object.keys(workflow.inputs).join(', ') || 'none';
      throw new CliError(`--input ${name}: the workflow has no such input; it has ${known}`);
    }
    if (declared.kind === 'value') inputs.values[name] = value;
    else if (datasetOf(value) !== undefined) {
      const at = { path: '', project };
      inputs.files[name] = await datasetInputs(client, datasetOf(value)!, at);
    } else {
      const files = declared.kind === 'file' ? [value] : await filesOf(name, value);
      inputs.files[name] = await uploadAll(client, files);
    }
  }
  return inputs;
}

/** Sends the files that steps name on this machine; what comes out is what the API takes. */
export async function sendFiles(
  client: Client,
  workflow: WrittenWorkflow,
): Promise<RunRequest['definition']> {
  const objects = new Map<string, Promise<string>>();
  const send = async (steps: Readonly<Record<string, WrittenStep>>): Promise<void> => {
    for (const step of Object.values(steps)) {
      for (const input of step.inputs) {
        if (input.file === undefined) continue;
        const known = objects.get(input.file) ?? uploadFile(client, input.file);
        objects.set(input.file, known);
        input.object = await known;
        delete input.file;
      }
      if (typeof step.workflow === 'object') await send(step.workflow.steps);
    }
  };
  await send(workflow.steps);
  return workflow as unknown as RunRequest['definition'];
}
