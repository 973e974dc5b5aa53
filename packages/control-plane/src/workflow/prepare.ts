import { hash } from 'node:crypto';
import { posix } from 'node:path';
import type { Located, TaskFields, TaskStep, Template } from '@majorana/core';
import {
  bindPlaceholders,
  elementFields,
  expand,
  fillPlaceholders,
  findUnknownPlaceholders,
  keyMaker,
  referencesOf,
  tooManyElements,
} from '@majorana/core';
import type { NewInstance } from '@majorana/store';
import type { Sources } from './sources.ts';
import { RefusedError } from './sources.ts';

const NO_FIELDS: ReadonlySet<string> = new Set();
const sha256 = (text: string): string => hash('sha256', text, 'hex');

export interface PreparedStep {
  readonly template: Template;
  readonly elements: readonly { readonly key: string; readonly fields: TaskFields }[];
}

/** What a step is to run: its elements, each with the key of its result. */
export async function prepareStep(
  sources: Sources,
  located: Located & { readonly step: TaskStep },
  only: { readonly runId: number; readonly path: string },
): Promise<PreparedStep> {
  const { step, scope } = located;
  await sources.prefetch(
    scope,
    referencesOf(step).filter((text) => !step.after.includes(text)),
  );
  const values: Record<string, string> = { ...(await sources.values(scope)) };
  for (const [field, reference] of Object.entries(step.values)) {
    values[field] = (await sources.smallText(scope, reference)).trim();
  }
  const bind = (text: string): string => bindPlaceholders(text, values);
  const template: Template = {
    argv: step.argv.map(bind),
    env: Object.fromEntries(Object.entries(step.env).map(([name, text]) => [name, bind(text)])),
    outputs: step.outputs.map(bind),
    tools: step.tools,
    image: step.container?.image,
    gang: step.gang,
    checkpoint: step.checkpoint && {
      ...step.checkpoint,
      argv: step.checkpoint.argv.map(bind),
    },
    ...(await layIn(sources, located, bind)),
    onlyFor: step.isRepeatable ? null : `run_${only.runId} ${only.path}`,
  };
  const own = await elementsOf(sources, located);
  const keyOf = keyMaker(template, sha256);
  const elements = own.map((element, index) => {
    const fields = elementFields(element, index, own.length);
    return { key: keyOf(fields), fields };
  });
  return { template, elements };
}

export async function elementsOf(
  sources: Sources,
  { step, scope }: Pick<Located, 'step' | 'scope'>,
): Promise<readonly TaskFields[]> {
  const { each } = step;
  if (each === undefined) return [{}];
  const files = each.kind === 'files' ? (await sources.files(scope, each.from)).files : [];
  const text = each.kind === 'lines' ? await sources.text(scope, each.from) : '';
  const elements = expand(each, { files, text });
  const refused = tooManyElements(elements.length, step);
  if (refused !== undefined) throw new RefusedError(refused);
  return elements;
}

/** A path that an element's fields fill differs from element to element; all others are shared. */
async function layIn(
  sources: Sources,
  { step, scope }: Located & { readonly step: TaskStep },
  bind: (text: string) => string,
): Promise<Pick<Template, 'inputs' | 'elementInputs'>> {
  const inputs: { path: string; object: string }[] = [];
  const elementInputs: { path: string; object: string }[] = [];
  const add = (path: string, below: string, object: string): void => {
    const isOwn = findUnknownPlaceholders(path, NO_FIELDS).length > 0;
    if (isOwn) elementInputs.push({ path: path + below.replaceAll(/[{}]/g, '$&$&'), object });
    else inputs.push({ path: posix.normalize(fillPlaceholders(path, {}) + below), object });
  };
  for (const input of step.inputs) {
    const path = bind(input.path);
    if (!('from' in input)) {
      add(path, '', input.object);
      continue;
    }
    const { files, isFolder, wasSkipped } = await sources.files(scope, input.from);
    if (wasSkipped && !input.isOptional) {
      throw new RefusedError(`${input.from}: its step was skipped, and the input is not optional`);
    }
    for (const file of files) {
      const under = file.position === null ? '' : `${file.position}/`;
      add(path, isFolder ? `/${under}${file.path}` : '', file.object);
    }
  }
  if (step.each?.kind === 'files') elementInputs.push({ path: '{file}', object: '{fileObject}' });
  return { inputs, elementInputs };
}

export const newInstance = (
  { runId, round }: { readonly runId: number; readonly round: number },
  path: string,
  { step }: { readonly step: TaskStep },
  prepared: { readonly template: Template; readonly reusedCount: number },
): NewInstance => ({
  runId,
  round,
  path,
  stepName: path.replaceAll(/\[\d+\]/g, ''),
  isFanOut: step.each !== undefined,
  ...prepared,
});
