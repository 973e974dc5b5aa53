import type { WorkflowDefinition } from '@majorana/core';
import type { Random } from '../random.ts';

const SECOND = 1000;
const CANCEL_AFTER_MS_MAX = 120 * SECOND;

/** What a user has in mind for a run: the first round begins it, each other resumes it. */
export interface PlannedRound {
  readonly definition: WorkflowDefinition;
  /** Undefined: it is left to end by itself. */
  readonly cancelAfterMs: number | undefined;
}

/** Of a definition, what is changed here. */
interface EditableStep {
  readonly argv?: string[];
  readonly env: Record<string, string>;
  readonly resources: { cpuMillis: number };
  readonly when?: { atLeast: number };
  readonly repeat?: { readonly until: { atLeast: number } };
  readonly workflow?: EditableBody;
}
interface EditableBody {
  readonly steps: Readonly<Record<string, EditableStep>>;
}

const stepsOf = ({ steps }: EditableBody): EditableStep[] =>
  Object.values(steps).flatMap((step) => [
    step,
    ...(step.workflow === undefined ? [] : stepsOf(step.workflow)),
  ]);

function edited(
  definition: WorkflowDefinition,
  edit: (steps: readonly EditableStep[]) => void,
): WorkflowDefinition {
  const copy = structuredClone(definition) as WorkflowDefinition;
  edit(stepsOf(copy as unknown as EditableBody));
  return copy;
}

type Task = EditableStep & { readonly argv: string[] };
const tasksOf = (steps: readonly EditableStep[]): Task[] =>
  steps.filter((step): step is Task => step.argv !== undefined);

/** One step as somebody might change it: more than one kind changes nothing that others see. */
const EDITS: readonly ((steps: readonly EditableStep[], random: Random, number: number) => void)[] =
  [
    // Another key, the same file: what takes it has its result.
    (steps, random, number) => {
      random.pick(tasksOf(steps)).env['EDIT'] = String(number);
    },
    (steps, random, number) => random.pick(tasksOf(steps)).argv.push(`edit ${number}`),
    // Not part of any key.
    (steps, random) => {
      random.pick(tasksOf(steps)).resources.cpuMillis = 2000;
    },
    (steps, random) => {
      const lists = tasksOf(steps).filter(({ argv }) => argv[1] === 'lines');
      random.pick(lists).argv[2] = String(random.int(0, 12));
    },
    (steps, random) => {
      const loops = steps.flatMap(({ repeat }) => (repeat === undefined ? [] : [repeat]));
      random.pick(loops).until.atLeast = random.int(1, 3);
    },
    (steps, random) => {
      const conditions = steps.flatMap(({ when }) => (when === undefined ? [] : [when]));
      random.pick(conditions).atLeast = random.int(0, 6);
    },
  ];

/** A program that fails on one of what it may be given; see `breaks`. */
const broken = (definition: WorkflowDefinition, random: Random): WorkflowDefinition =>
  edited(definition, (steps) => {
    const step = random.pick(tasksOf(steps));
    const [, what = '', first = ''] = step.argv;
    const given = what === 'work' ? `line ${random.int(0, 5)}` : what === 'add' ? '1' : first;
    step.argv.push(`broken at ${given}`);
  });

/** Changed, unchanged, or back to what it was before; broken now and then, and never in the end. */
export function drawRounds(random: Random, first: WorkflowDefinition): PlannedRound[] {
  const definitions = [first];
  const roundCount = random.int(2, 4);
  return Array.from({ length: roundCount }, (_, at) => {
    if (at > 0) {
      const before = random.chance(0.2) ? random.pick(definitions) : definitions.at(-1)!;
      const edit = (steps: readonly EditableStep[]): void => random.pick(EDITS)(steps, random, at);
      definitions.push(random.chance(0.8) ? edited(before, edit) : before);
    }
    const definition = definitions.at(-1)!;
    if (at === roundCount - 1) return { definition, cancelAfterMs: undefined };
    const isCancelled = random.chance(0.7);
    return {
      definition: random.chance(0.4) ? broken(definition, random) : definition,
      cancelAfterMs: isCancelled ? random.spread(1, CANCEL_AFTER_MS_MAX) : undefined,
    };
  });
}
