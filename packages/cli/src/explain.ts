import type { AttemptView, TaskDetail } from '@majorana/protocol';
import { formatQuantity, GIGABYTE } from '@majorana/core';
import { formatDuration, formatFigure } from './output.ts';

type ExpectedCost = NonNullable<TaskDetail['explanation']['costs']>[number];

/** Fields of every task, which its id tells already. */
const COMMON_FIELDS = ['index', 'job', 'task_count'];

function attemptLines(attempt: AttemptView): string[] {
  const { id, agentId, leasedAtMs, queuedAtMs, startedAtMs, endedAtMs, waitedFor } = attempt;
  const end = endedAtMs === null ? 'has not ended' : `${attempt.outcome}: ${attempt.reason}`;
  const lines = [`  ${id} on ${agentId}: ${end}`];
  const facts = [`waited ${formatDuration(leasedAtMs - queuedAtMs)}`];
  if (waitedFor !== '') facts[0] += ` (${waitedFor})`;
  if (startedAtMs !== null && endedAtMs !== null)
    facts.push(`ran ${formatDuration(endedAtMs - startedAtMs)}`);
  if (attempt.cpuTimeMs !== null) facts.push(`${(attempt.cpuTimeMs / 1000).toFixed(1)} s CPU`);
  if (attempt.peakMemoryBytes !== null)
    facts.push(`${formatQuantity('memoryBytes', attempt.peakMemoryBytes)} peak`);
  return [...lines, `    ${facts.join(', ')}`];
}

const costWords = ({ agentId, cost, dataCost, dataBytes }: ExpectedCost): string => {
  const data = ` (${formatFigure(dataCost)} of it for ${formatFigure(dataBytes / GIGABYTE)} GB of data)`;
  return `${agentId} ${formatFigure(cost)}${dataCost > 0 ? data : ''}`;
};

/** Clusters beyond these cost more than one would wait for. */
const COSTS_SHOWN = 8;

function reasonLines(detail: TaskDetail): string[] {
  const { shortages = [], waitsForJobs = [], notBeforeMs, costs = [] } = detail.explanation;
  const shown = costs.slice(0, COSTS_SHOWN).map(costWords).join(', ');
  return [
    ...shortages.map(
      (short) =>
        `  ${formatQuantity(short.resource, short.requested)} asked, ${formatQuantity(short.resource, short.available)} free (agents: ${short.agentCount})`,
    ),
    ...(waitsForJobs.length === 0 ? [] : [`  waits for ${waitsForJobs.join(', ')}`]),
    ...(shown === '' ? [] : [`  expected cost: ${shown}`]),
    ...(notBeforeMs === undefined ? [] : [`  not before ${new Date(notBeforeMs).toISOString()}`]),
  ];
}

/** A task's present in a sentence with its data, then its past line by line. */
export function explainTask(detail: TaskDetail): string {
  const { task, explanation, attempts, transitions, fields } = detail;
  const history = transitions.map(
    (step) =>
      `  ${new Date(step.atMs).toISOString()} ${step.fromState} -> ${step.toState}: ${step.reason}`,
  );
  const given = Object.entries(fields).filter(([name]) => !COMMON_FIELDS.includes(name));
  return [
    `${task.id} is ${task.state}: ${explanation.sentence}`,
    ...reasonLines(detail),
    ...(given.length === 0
      ? []
      : ['fields', ...given.map(([name, value]) => `  ${name} = ${value}`)]),
    ...(attempts.length === 0 ? [] : ['attempts', ...attempts.flatMap(attemptLines)]),
    ...(history.length === 0 ? [] : ['history', ...history]),
  ].join('\n');
}
