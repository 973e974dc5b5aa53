import type { WorkflowDefinition } from '@majorana/core';
import type { StepWritten, WorkflowInput } from '@majorana/protocol';
import { workflowSchema } from '@majorana/protocol';
import type { Random } from '../random.ts';

const from = (...names: string[]): StepWritten['inputs'] =>
  names.map((name) => ({ path: name, from: `${name}/out` }));

/** A chain with branches, a fan-out whose width a step decides, rounds, and a gather of it all. */
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
  steps['some'] = task(['some'], {
    when: { kind: 'lines', from: 'list/out', atLeast: 6 },
    inputs: from('list'),
  });
  steps['gather'] = task(['gather'], {
    inputs: [
      { path: 'work', from: 'work' },
      { path: 'sum', from: 'rounds/sum' },
      { path: 'some', from: 'some/out', isOptional: true },
      ...from(`c${chainLength - 1}`)!,
    ],
  });
  const flow: WorkflowInput = { name: 'flow', steps, outputs: { all: 'gather/out' } };
  return workflowSchema.parse(flow) as unknown as WorkflowDefinition;
}
