import type { NestedStep, Step, StepInput, TaskStep, WorkflowBody } from '@majorana/core';
import type { WorkflowDefinition } from '@majorana/core';
import { fillPlaceholders, isNested, parseReference, referencesOf } from '@majorana/core';
import { executionOf, breaks, runProgram, SimulatedObjects } from './programs.ts';

/** What a run must do and leave behind, from its definition alone. */
export interface Prediction {
  /** Everything that has to have run once, by what it runs on. */
  readonly executions: ReadonlySet<string>;
  readonly isWell: boolean;
  /** By the paths of steps: how they end, and what each element has stored. */
  readonly outputs: string;
}

type Ending = 'succeeded' | 'failed' | 'skipped' | 'blocked';
/** Where files lie below what takes them; a single file has the place of its taker. */
interface Found {
  readonly files: readonly { readonly path: string; readonly object: string }[];
  readonly isFolder: boolean;
}
type FindFiles = (file: string | undefined) => Found;
interface Ended {
  readonly ending: Ending;
  readonly find: FindFiles;
}
type Fields = Readonly<Record<string, string>>;

const NOTHING: FindFiles = () => ({ files: [], isFolder: false });

class Notes {
  readonly objects = new SimulatedObjects();
  readonly executions = new Set<string>();
  readonly linesByPath = new Map<string, string[]>();

  note(path: string, ending: Ending, stored: readonly string[] = []): void {
    const lines = stored.map((line) => `${path} ${line}`);
    this.linesByPath.set(path, [`${path} ${ending}`, ...lines]);
  }
}

/** One pass over a body, each step when another needs it: there is no time in it, and no order. */
class BodyPrediction {
  readonly #notes: Notes;
  readonly #body: WorkflowBody;
  readonly #prefix: string;
  readonly #values: Fields;
  readonly #files: Readonly<Record<string, Found>>;
  readonly #ended = new Map<string, Ended>();

  constructor(
    notes: Notes,
    at: { readonly body: WorkflowBody; readonly prefix: string },
    given: { readonly values: Fields; readonly files: Readonly<Record<string, Found>> },
  ) {
    this.#notes = notes;
    this.#body = at.body;
    this.#prefix = at.prefix;
    this.#values = given.values;
    this.#files = given.files;
  }

  /** Whether all of it ends well. */
  run(): boolean {
    const endings = Object.keys(this.#body.steps).map((name) => this.#step(name).ending);
    return endings.every((ending) => ending === 'succeeded' || ending === 'skipped');
  }

  find(reference: string): Found {
    const { name, file } = parseReference(reference);
    return this.#files[name] ?? this.#step(name).find(file);
  }

  text(reference: string): string {
    return this.find(reference)
      .files.map(({ object }) => this.#notes.objects.textOf(object))
      .join('');
  }

  #step(name: string): Ended {
    const known = this.#ended.get(name);
    if (known !== undefined) return known;
    const step = this.#body.steps[name]!;
    const path = this.#prefix + name;
    const early = this.#endsEarly(step);
    if (early !== undefined) this.#notes.note(path, early);
    const ended: Ended =
      early !== undefined
        ? { ending: early, find: NOTHING }
        : isNested(step)
          ? this.#nested(path, step)
          : this.#task(path, step);
    this.#ended.set(name, ended);
    return ended;
  }

  #endsEarly(step: Step): Ending | undefined {
    let isSkipped = false;
    for (const reference of referencesOf(step)) {
      const { name } = parseReference(reference);
      if (!Object.hasOwn(this.#body.steps, name)) continue;
      const { ending } = this.#step(name);
      if (ending === 'failed' || ending === 'blocked') return 'blocked';
      isSkipped ||= ending === 'skipped' && !mayLack(step, reference);
    }
    if (isSkipped) return 'skipped';
    const { when } = step;
    if (when === undefined) return undefined;
    if (when.kind !== 'lines') throw new Error(`a condition on ${when.kind} is not predicted`);
    return linesOf(this.text(when.from)).length >= when.atLeast! ? undefined : 'skipped';
  }

  #elements({ each }: Step): readonly Fields[] {
    if (each === undefined) return [{}];
    if (each.kind !== 'lines') throw new Error(`a fan-out over ${each.kind} is not predicted`);
    return linesOf(this.text(each.from)).map((line) => ({ line }));
  }

  #task(path: string, step: TaskStep): Ended {
    const elements = this.#elements(step);
    const inputs = step.inputs.flatMap((input) => this.#laidIn(input));
    const stored: (string | undefined)[] = elements.map((element, index) => {
      const own = { index: String(index), task_count: String(elements.length), ...element };
      const fill = (text: string): string => fillPlaceholders(text, { ...this.#values, ...own });
      const argv = step.argv.map(fill);
      const env = Object.fromEntries(
        Object.entries(step.env).map(([name, text]) => [name, fill(text)]),
      );
      this.#notes.executions.add(executionOf({ argv, env, inputs }));
      if (breaks(argv)) return undefined;
      return this.#notes.objects.put(runProgram(this.#notes.objects, { argv, inputs })).object;
    });
    const isFolder = step.each !== undefined;
    const files = stored.flatMap((object, position) =>
      object === undefined
        ? []
        : [{ path: isFolder ? `${position}/out` : 'out', object, position }],
    );
    const ending = files.length === elements.length ? 'succeeded' : 'failed';
    const lines = files.map((file) => `${isFolder ? file.position : null} ${file.object}`);
    this.#notes.note(path, ending, lines);
    return { ending, find: (file) => ({ files, isFolder: isFolder || file === undefined }) };
  }

  #laidIn(input: StepInput): { path: string; object: string }[] {
    if (!('from' in input)) return [{ ...input }];
    const { files, isFolder } = this.find(input.from);
    return files.map(({ path, object }) => ({
      path: isFolder ? `${input.path}/${path}` : input.path,
      object,
    }));
  }

  #nested(path: string, step: NestedStep): Ended {
    const ended = step.each === undefined ? this.#rounds(path, step) : this.#spread(path, step);
    this.#notes.note(path, ended.ending);
    return ended;
  }

  #rounds(path: string, step: NestedStep): Ended {
    const { repeat } = step;
    let before: BodyPrediction | undefined;
    for (let iteration = 1; iteration <= (repeat?.iterationsMax ?? 1); iteration += 1) {
      const prefix = repeat === undefined ? `${path}.` : `${path}[${iteration}].`;
      const inside = this.#inside(step, prefix, { element: {}, before });
      if (!inside.run()) return { ending: 'failed', find: NOTHING };
      const { until } = repeat ?? {};
      if (until !== undefined && until.kind !== 'text') {
        throw new Error(`a loop until ${until.kind} is not predicted`);
      }
      if (until === undefined || Number(inside.text(until.from)) >= until.atLeast!) {
        const find: FindFiles = (file) => inside.find(step.workflow.outputs[file!]!);
        return { ending: 'succeeded', find };
      }
      before = inside;
    }
    return { ending: 'failed', find: NOTHING };
  }

  #spread(path: string, step: NestedStep): Ended {
    const insides = this.#elements(step).map((element, position) =>
      this.#inside(step, `${path}[${position}].`, { element, before: undefined }),
    );
    const areWell = insides.map((inside) => inside.run());
    const find: FindFiles = (file) => ({
      files: insides.flatMap((inside, position) =>
        inside
          .find(step.workflow.outputs[file!]!)
          .files.map(({ path: below, object }) => ({ path: `${position}/${below}`, object })),
      ),
      isFolder: true,
    });
    return { ending: areWell.every(Boolean) ? 'succeeded' : 'failed', find };
  }

  /** A body inside, with what `with` gives it, or `carry` hands over from the iteration before. */
  #inside(
    step: NestedStep,
    prefix: string,
    at: { readonly element: Fields; readonly before: BodyPrediction | undefined },
  ): BodyPrediction {
    const values: Record<string, string> = {};
    const files: Record<string, Found> = {};
    for (const [name, { kind }] of Object.entries(step.workflow.inputs)) {
      const carried = at.before === undefined ? undefined : step.repeat?.carry[name];
      const text = step.with[name]!;
      if (kind === 'value') {
        values[name] =
          carried === undefined
            ? fillPlaceholders(text, { ...this.#values, ...at.element })
            : at.before!.text(carried).trim();
      } else files[name] = carried === undefined ? this.find(text) : at.before!.find(carried);
    }
    return new BodyPrediction(this.#notes, { body: step.workflow, prefix }, { values, files });
  }
}

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '');

const mayLack = (step: Step, reference: string): boolean =>
  !isNested(step) &&
  step.inputs.some((input) => 'from' in input && input.from === reference && input.isOptional);

/** By another way than the product's: all at once, and with nothing kept from before. */
export function predictRun(definition: WorkflowDefinition): Prediction {
  const notes = new Notes();
  const at = { body: definition, prefix: '' };
  const isWell = new BodyPrediction(notes, at, { values: {}, files: {} }).run();
  const paths = [...notes.linesByPath.keys()].toSorted();
  const outputs = paths.flatMap((path) => notes.linesByPath.get(path)!).join('\n');
  return { executions: notes.executions, isWell, outputs };
}
