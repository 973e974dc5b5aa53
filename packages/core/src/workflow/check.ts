import { parseArray } from '../array-range.ts';
import { findUnknownPlaceholders } from '../placeholder.ts';
import type { Condition, NestedStep, Step, TaskStep, WorkflowBody } from './definition.ts';
import {
  eachFieldNames,
  ELEMENT_FILE,
  isNested,
  isPattern,
  parseReference,
  referencesOf,
} from './definition.ts';
import { COMPARISONS } from './condition.ts';
import { ELEMENTS_MAX, NESTED_ELEMENTS_MAX } from './elements.ts';

type Path = readonly (string | number)[];
export interface WorkflowIssue {
  /** Where in the definition. */
  readonly path: Path;
  readonly what: string;
}

/** What every element has; `{job}` is left out, for a result must not depend on a number of ours. */
export const STEP_FIELDS = ['index', 'task_count'] as const;

/** What is wrong with a definition beyond the forms of its parts; empty: it can run. */
export function checkWorkflow(body: WorkflowBody): WorkflowIssue[] {
  return new BodyCheck(body, [], []).issues();
}

class BodyCheck {
  readonly #body: WorkflowBody;
  readonly #path: Path;
  readonly #extraValues: readonly string[];
  readonly #issues: WorkflowIssue[] = [];

  constructor(body: WorkflowBody, path: Path, extraValues: readonly string[]) {
    this.#body = body;
    this.#path = path;
    this.#extraValues = extraValues;
  }

  issues(): WorkflowIssue[] {
    const { inputs, steps, outputs } = this.#body;
    for (const name of Object.keys(steps)) {
      if (Object.hasOwn(inputs, name)) this.#add(['steps', name], 'an input has this name already');
    }
    for (const [name, step] of Object.entries(steps)) this.#checkStep(name, step);
    for (const [name, text] of Object.entries(outputs)) this.#checkFiles(['outputs', name], text);
    if (this.#issues.length === 0) this.#checkCycles();
    return this.#issues;
  }

  #add(at: Path, what: string): void {
    this.#issues.push({ path: [...this.#path, ...at], what });
  }

  #valueNames(): string[] {
    const declared = Object.entries(this.#body.inputs).filter(([, one]) => one.kind === 'value');
    return [...declared.map(([name]) => name), ...this.#extraValues];
  }

  #checkStep(name: string, step: Step): void {
    const at: Path = ['steps', name];
    for (const [index, other] of step.after.entries()) {
      if (!Object.hasOwn(this.#body.steps, other))
        this.#add([...at, 'after', index], `there is no step ${other}`);
    }
    if (step.when !== undefined) this.#checkCondition([...at, 'when'], step.when);
    if (isNested(step)) this.#checkNested(at, step);
    else this.#checkTask(at, step);
  }

  #checkCondition(at: Path, condition: Condition): void {
    if (condition.kind === 'value') this.#checkText([...at, 'value'], condition.value, []);
    else this.#checkFiles([...at, 'from'], condition.from);
    if (COMPARISONS.every((one) => condition[one] === undefined))
      this.#add(at, `it compares nothing; one of ${COMPARISONS.join(', ')} is needed`);
  }

  #checkTask(at: Path, step: TaskStep): void {
    for (const [index, input] of step.inputs.entries()) {
      if ('from' in input) this.#checkFiles([...at, 'inputs', index, 'from'], input.from);
    }
    for (const [field, text] of Object.entries(step.values))
      this.#checkFiles([...at, 'values', field], text);
    this.#checkEach(at, step);
    const fields = [...Object.keys(step.values), ...eachFieldNames(step.each)];
    const texts: [Path, string][] = [
      ...step.argv.map((text, index): [Path, string] => [['argv', index], text]),
      ...(step.checkpoint?.argv ?? []).map((text, index): [Path, string] => [
        ['checkpoint', 'argv', index],
        text,
      ]),
      ...Object.entries(step.env).map(([key, text]): [Path, string] => [['env', key], text]),
      ...step.outputs.map((text, index): [Path, string] => [['outputs', index], text]),
      ...step.inputs.map((one, index): [Path, string] => [['inputs', index, 'path'], one.path]),
    ];
    for (const [where, text] of texts) this.#checkText([...at, ...where], text, fields);
  }

  #checkEach(at: Path, { each }: Step): void {
    if (each?.kind === 'lines' || each?.kind === 'files')
      this.#checkFiles([...at, 'each', 'from'], each.from);
    if (each?.kind === 'range') {
      const parsed = parseArray(each.range);
      if (!parsed.ok) this.#add([...at, 'each', 'range'], parsed.why);
    }
    if (each?.kind === 'records') {
      const names = Object.keys(each.records[0] ?? {}).join(' ');
      const other = each.records.findIndex((record) => Object.keys(record).join(' ') !== names);
      if (other > 0)
        this.#add(
          [...at, 'each', 'records', other],
          'its fields are not those of the first record',
        );
    }
    const clash = eachFieldNames(each).find((name) => this.#valueNames().includes(name));
    if (clash !== undefined)
      this.#add([...at, 'each'], `{${clash}} is an input of the workflow too`);
  }

  #checkText(at: Path, text: string, fields: readonly string[]): void {
    const names = new Set([...this.#valueNames(), ...fields, ...STEP_FIELDS]);
    for (const { why } of findUnknownPlaceholders(text, names)) {
      this.#add(at, why.replace('a field of this job', 'a field of this step'));
    }
  }

  #checkNested(at: Path, step: NestedStep): void {
    const { inputs } = step.workflow;
    this.#checkEach(at, step);
    const fields = eachFieldNames(step.each);
    for (const [name, text] of Object.entries(step.with)) {
      const kind = inputs[name]?.kind;
      if (kind === undefined)
        this.#add([...at, 'with', name], 'the nested workflow has no such input');
      else if (kind === 'value') this.#checkText([...at, 'with', name], text, fields);
      else if (text === ELEMENT_FILE) {
        if (step.each?.kind !== 'files')
          this.#add(
            [...at, 'with', name],
            '{file} is the file of an element of "each: { kind: files }"',
          );
      } else this.#checkFiles([...at, 'with', name], text);
    }
    for (const [name, { kind, default: byDefault }] of Object.entries(inputs)) {
      const isGiven =
        Object.hasOwn(step.with, name) || (kind === 'value' && byDefault !== undefined);
      if (!isGiven) this.#add([...at], `"with" lacks ${name}, an input of the nested workflow`);
    }
    const extra = step.repeat === undefined ? [] : ['iteration'];
    const inside = new BodyCheck(step.workflow, [...this.#path, ...at, 'workflow'], extra);
    this.#issues.push(...inside.issues());
    if (step.repeat !== undefined) this.#checkRepeat([...at, 'repeat'], step);
  }

  #checkRepeat(at: Path, { repeat, workflow }: NestedStep): void {
    const inside = new BodyCheck(workflow, [...this.#path, ...at], ['iteration']);
    inside.#checkCondition(['until'], repeat!.until);
    for (const [name, text] of Object.entries(repeat!.carry)) {
      if (!Object.hasOwn(workflow.inputs, name))
        inside.#add(['carry', name], 'the nested workflow has no such input');
      inside.#checkFiles(['carry', name], text);
    }
    this.#issues.push(...inside.#issues);
  }

  /** A reference must lead to a file input, or to a step; of a nested one to an output. */
  #checkFiles(at: Path, text: string): void {
    const { name, file } = parseReference(text);
    const input = Object.hasOwn(this.#body.inputs, name) ? this.#body.inputs[name] : undefined;
    if (input !== undefined) {
      if (input.kind === 'value')
        this.#add(at, `${name} is a value, not a file; it is written {${name}} where it is needed`);
      else if (file !== undefined && this.#path.length > 0)
        this.#add(at, `${name} is an input of a nested workflow: it is taken whole`);
      return;
    }
    const step = Object.hasOwn(this.#body.steps, name) ? this.#body.steps[name] : undefined;
    if (step === undefined) this.#add(at, `there is no input and no step "${name}"`);
    else if (isNested(step)) {
      if (file === undefined || !Object.hasOwn(step.workflow.outputs, file)) {
        const known = Object.keys(step.workflow.outputs).join(', ') || 'none';
        this.#add(at, `${name} is a nested workflow; take one of its outputs (${known})`);
      }
    } else this.#checkPromised(at, { name, file, step });
  }

  /** A file that no glob of the step's outputs can bring is a mistake of writing. */
  #checkPromised(at: Path, one: { name: string; file: string | undefined; step: TaskStep }): void {
    const { name, file, step } = one;
    if (step.outputs.length === 0) this.#add(at, `${name} has no outputs`);
    const isWritten = step.outputs.every((text) => !isPattern(text) && !text.includes('{'));
    if (file === undefined || !isWritten || isPattern(file) || step.outputs.length === 0) return;
    if (!step.outputs.includes(file))
      this.#add(at, `${name} has the outputs ${step.outputs.join(', ')}, and not ${file}`);
  }

  /** What nobody waits for any more is taken away; what is left over waits for itself. */
  #checkCycles(): void {
    const { steps } = this.#body;
    const upstream = new Map(
      Object.entries(steps).map(([name, step]) => {
        const named = referencesOf(step).map((text) => parseReference(text).name);
        return [name, new Set(named.filter((other) => Object.hasOwn(steps, other)))];
      }),
    );
    const downstream = new Map<string, string[]>([...upstream.keys()].map((name) => [name, []]));
    for (const [name, others] of upstream) {
      for (const other of others) downstream.get(other)!.push(name);
    }
    const free = [...upstream].filter(([, others]) => others.size === 0).map(([name]) => name);
    for (const name of free) {
      upstream.delete(name);
      for (const other of downstream.get(name)!) {
        const left = upstream.get(other)!;
        left.delete(name);
        if (left.size === 0) free.push(other);
      }
    }
    this.#tellCircle(upstream);
  }

  /** Each step that is left waits for another that is left: following them comes round. */
  #tellCircle(left: ReadonlyMap<string, ReadonlySet<string>>): void {
    const way = new Set<string>();
    let [name] = left.keys();
    while (name !== undefined && !way.has(name)) {
      way.add(name);
      name = [...left.get(name)!][0];
    }
    if (name === undefined) return;
    const circle = [...way];
    const told = [...circle.slice(circle.indexOf(name)), name].join(' -> ');
    this.#add(['steps', name], `it waits for itself: ${told}`);
  }
}

export function tooManyElements(count: number, step: Step): string | undefined {
  const max = isNested(step) ? NESTED_ELEMENTS_MAX : ELEMENTS_MAX;
  const what = isNested(step) ? ', as many as a nested workflow is run for' : '';
  return count > max ? `${count} elements are more than ${max}${what}` : undefined;
}
