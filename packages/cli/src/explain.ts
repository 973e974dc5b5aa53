import type { AttemptView, TaskDetail } from '@majorana/protocol';
import { formatQuantity } from '@majorana/core';
import { formatDuration } from './output.ts';

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

function reasonLines(detail: TaskDetail): string[] {
  const { shortages = [], waitsForJobs = [], notBeforeMs } = detail.explanation;
  return [
    ...shortages.map(
      (short) =>
        `  ${formatQuantity(short.resource, short.requested)} asked, ${formatQuantity(short.resource, short.available)} free (agents: ${short.agentCount})`,
    ),
    ...(waitsForJobs.length === 0 ? [] : [`  waits for ${waitsForJobs.join(', ')}`]),
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
