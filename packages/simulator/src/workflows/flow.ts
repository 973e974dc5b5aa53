import type { WorkflowDefinition } from '@majorana/core';
import type { StepWritten, WorkflowInput } from '@majorana/protocol';
import { workflowSchema } from '@majorana/protocol';
import type { Random } from '../random.ts';

const from = (...names: string[]): StepWritten['inputs'] =>
  names.map((name) => ({ path: name, from: `${name}/out` }));

type MakeTask = (argv: readonly string[], edit?: Partial<StepWritten>) => StepWritten;

/** For each line a workflow of its own: a condition, rounds, and files from around it. */
function spreadStep(random: Random, task: MakeTask, tag: string): StepWritten {
  return {
    each: { kind: 'lines', from: 'list/out' },
    with: { line: '{line}', list: 'list/out' },
    workflow: {
      inputs: { line: {}, list: { kind: 'file' } },
      steps: {
        start: task(['lines', String(random.int(0, 3))], { env: { TAG: tag, LINE: '{line}' } }),
        on: task(['on', '{line}'], {
          when: { kind: 'lines', from: 'start/out', atLeast: 1 },
          inputs: [...from('start')!, { path: 'list', from: 'list' }],
        }),
        rounds: {
          with: { sum: '0', line: '{line}' },
          workflow: {
            inputs: { sum: {}, line: {} },
            steps: { add: task(['add', '{sum}'], { env: { TAG: tag, LINE: '{line}' } }) },
            outputs: { sum: 'add/out' },
          },
          repeat: {
            until: { kind: 'text', from: 'add/out', atLeast: random.int(1, 2) },
            iterationsMax: 3,
            carry: { sum: 'add/out' },
          },
        },
      },
      outputs: { sum: 'rounds/sum', on: 'on/out' },
    },
  };
}

/** A chain with branches, fan-outs whose width a step decides, of tasks
 * and of nested workflows, rounds, and a gather of it all. */
export function drawFlow(random: Random, tag: string): WorkflowDefinition {
  // Runs that shared results would run what happens to be first: each has keys of its own.
  const task = (argv: readonly string[], edit: Partial<StepWritten> = {}): StepWritten => ({
    argv: ['flow', ...argv],
    env: { TAG: tag },
    outputs: ['out'],
    ...edit,
  });
  const steps: Record<string, StepWritten> = {};
  const chainLength = random.int(1, 6);
  for (let at = 0; at < chainLength; at += 1) {
    const earlier = Array.from({ length: at }, (_, one) => `c${one}`);
    const taken = earlier.filter((_, one) => one === at - 1 || random.chance(0.3));
    steps[`c${at}`] = task(['chain', String(at)], { inputs: from(...taken) });
  }
  steps['list'] = task(['lines', String(random.int(0, 12))]);
  steps['work'] = task(['work', '{line}'], { each: { kind: 'lines', from: 'list/out' } });
  const rounds = random.int(1, 4);
  steps['rounds'] = {
    with: { sum: '0' },
    workflow: {
      inputs: { sum: {} },
      steps: {
        add: task(['add', '{sum}']),
        keep: task(['keep', '{sum}'], { inputs: from('add') }),
      },
      outputs: { sum: 'add/out' },
    },
    repeat: {
      until: { kind: 'text', from: 'add/out', atLeast: rounds },
      iterationsMax: 9,
      carry: { sum: 'add/out' },
    },
  };
  steps['spread'] = spreadStep(random, task, tag);
  steps['some'] = task(['some'], {
    when: { kind: 'lines', from: 'list/out', atLeast: 6 },
    inputs: from('list'),
  });
  steps['gather'] = task(['gather'], {
    inputs: [
      { path: 'work', from: 'work' },
      { path: 'sum', from: 'rounds/sum' },
      { path: 'sums', from: 'spread/sum' },
      { path: 'ons', from: 'spread/on' },
      { path: 'some', from: 'some/out', isOptional: true },
      ...from(`c${chainLength - 1}`)!,
    ],
  });
  const flow: WorkflowInput = { name: 'flow', steps, outputs: { all: 'gather/out' } };
  return workflowSchema.parse(flow) as unknown as WorkflowDefinition;
}
