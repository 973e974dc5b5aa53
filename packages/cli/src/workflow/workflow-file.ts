import { registerHooks } from 'node:module';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { WorkflowBody } from '@majorana/core';
import { checkWorkflow } from '@majorana/core';
import { writtenBodySchema, writtenWorkflowSchema } from '@majorana/protocol';
import type { z } from 'zod';
import { CliError } from '../output.ts';
import { nameOf, readYamlText, YamlFile } from '../submit/yaml-file.ts';

/** A checked workflow; its inputs may still name files of this machine, by absolute path. */
export interface WrittenWorkflow {
  readonly name: string;
  readonly project?: string;
  readonly inputs: Readonly<Record<string, { readonly kind: 'value' | 'file' | 'files' }>>;
  readonly steps: Readonly<Record<string, WrittenStep>>;
}
export interface WrittenStep {
  inputs: { path?: string; file?: string; object?: string }[];
  workflow?: string | { readonly steps: Readonly<Record<string, WrittenStep>> };
}
type Body = Pick<WrittenWorkflow, 'steps'>;

/** Files become absolute, nested workflows are read from their own files and put in place. */
function settle(body: Body, folder: string, around: readonly string[]): void {
  for (const step of Object.values(body.steps)) {
    for (const input of step.inputs) {
      if (input.file === undefined) continue;
      input.path ??= path.basename(input.file);
      input.file = path.resolve(folder, input.file);
    }
    if (typeof step.workflow === 'string') {
      const file = path.resolve(folder, step.workflow);
      if (around.includes(file)) throw new CliError(`${file}: is nested in itself`);
      step.workflow = readBody(file, [...around, file]);
    } else if (step.workflow !== undefined) settle(step.workflow, folder, around);
  }
}

function readBody(file: string, around: readonly string[]): Body {
  const yaml = new YamlFile(file, readYamlText(file));
  const body = yaml.check(writtenBodySchema) as unknown as Body;
  settle(body, path.dirname(file), around);
  checkNames(body, (places) => yaml.refuse(places));
  return body;
}

type Issues = { readonly path: (string | number)[]; readonly what: string }[];

function checkNames(body: Body, refuse: (issues: Issues) => never): void {
  const issues = checkWorkflow(body as unknown as WorkflowBody);
  if (issues.length > 0) refuse(issues.map((issue) => ({ ...issue, path: [...issue.path] })));
}

/** A user's file finds what it builds with in this program, wherever it lies and whatever is there. */
const OURS = '@majorana/client';

async function importFile(file: string): Promise<{ workflow?: unknown }> {
  const url = import.meta.resolve(OURS);
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      specifier === OURS ? { url, shortCircuit: true } : next(specifier, context),
  });
  try {
    return (await import(pathToFileURL(path.resolve(file)).href)) as { workflow?: unknown };
  } catch (error) {
    throw new CliError(`${file}: ${whyOf(error)}`);
  } finally {
    hooks.deregister();
  }
}

/** The message, and the place in the user's file when there is one. */
function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const place = /file:\/\/\S+:\d+:\d+/.exec(error.stack ?? '')?.[0];
  const where = place === undefined || place.startsWith(import.meta.url) ? '' : ` (${place})`;
  return `${error.message}${where}`;
}

/** Of a TypeScript file the compiler knows the lines; here only the place in the definition is known. */
async function readModule(file: string): Promise<WrittenWorkflow> {
  const module = await importFile(file);
  if (module.workflow === undefined)
    throw new CliError(`${file}: exports no "workflow"; write: export const workflow = …`);
  const complain = (issues: readonly z.core.$ZodIssue[] | Issues): never => {
    const told = issues.map(
      (issue) =>
        `${file}: ${issue.path.join('.')}: ${'what' in issue ? issue.what : issue.message}`,
    );
    throw new CliError(told.join('\n'));
  };
  const checked = writtenWorkflowSchema.safeParse(module.workflow);
  if (!checked.success) return complain(checked.error.issues);
  const workflow = checked.data as unknown as WrittenWorkflow;
  settle(workflow, path.dirname(path.resolve(file)), [path.resolve(file)]);
  checkNames(workflow, complain);
  return workflow;
}

/** A workflow from a YAML file or a TypeScript module; every mistake of it is told, with its place. */
export async function readWorkflow(file: string): Promise<WrittenWorkflow> {
  if (/\.[cm]?[jt]s$/.test(file)) {
    if (!existsSync(file)) throw new CliError(`${file}: cannot be read (ENOENT)`);
    return readModule(file);
  }
  const yaml = new YamlFile(nameOf(file), readYamlText(file));
  const workflow = yaml.check(writtenWorkflowSchema) as unknown as WrittenWorkflow;
  const absolute = path.resolve(file);
  settle(workflow, path.dirname(absolute), [absolute]);
  checkNames(workflow, (places) => yaml.refuse(places));
  return workflow;
}
