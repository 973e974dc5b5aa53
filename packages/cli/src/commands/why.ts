import type { AttemptView, TaskDetail } from '@majorana/client';
import { formatQuantity } from '@majorana/core';

const attemptLine = (attempt: AttemptView): string => {
  const usage =
    attempt.peakMemoryBytes === null
      ? ''
      : `; ${formatQuantity('memoryBytes', attempt.peakMemoryBytes)} peak, ${((attempt.cpuTimeMs ?? 0) / 1000).toFixed(1)} s CPU`;
  const end =
    attempt.endedAtMs === null ? 'has not ended' : `${attempt.outcome}: ${attempt.reason}`;
  return `  ${attempt.id} on ${attempt.agentId}: ${end}${usage}`;
};

/** A task's present in a sentence, and its past line by line. */
export function explain(id: string, detail: TaskDetail): string {
  const { task, state, attempts, transitions } = detail;
  if (task === null) {
    return state === 'queued'
      ? `${id} is queued: it waits for an agent with room; tasks of higher priority, earlier jobs and lower indexes go first`
      : `${id} is ${state}${state === 'pending' ? ': it waits for the jobs named in --after' : ''}`;
  }
  const history = transitions.map(
    (step) =>
      `  ${new Date(step.atMs).toISOString()} ${step.fromState} -> ${step.toState}: ${step.reason}`,
  );
  return [
    `${id} is ${state}: ${task.reason}`,
    'attempts',
    ...attempts.map(attemptLine),
    'history',
    ...history,
  ].join('\n');
}
