import { addResources, isHeld, NO_RESOURCES, TASK_STATES } from '@majorana/core';
import type { Resources } from '@majorana/core';
import type { EngineState } from '@majorana/control-plane/engine/state';
import { taskKey } from '@majorana/control-plane/engine/state';

const isSame = (a: Resources, b: Resources): boolean =>
  a.cpuMillis === b.cpuMillis &&
  a.memoryBytes === b.memoryBytes &&
  a.scratchBytes === b.scratchBytes &&
  a.gpuCount === b.gpuCount &&
  [...Object.keys(a.countable), ...Object.keys(b.countable)].every(
    (name) => (a.countable[name] ?? 0) === (b.countable[name] ?? 0),
  );

/** The invariants numbered above the engine's own state; what is wrong, or undefined. */
export function checkEngineState(state: EngineState): string | undefined {
  for (const job of state.jobs.values()) {
    const total = TASK_STATES.reduce((sum, name) => sum + job.counts[name], 0);
    if (total !== job.taskCount || job.rowCount > job.taskCount) {
      return `memory 1: job_${job.jobId} has ${job.taskCount} tasks and ${JSON.stringify(job.counts)}`;
    }
    const negative = TASK_STATES.find((name) => job.counts[name] < 0);
    if (negative !== undefined) return `memory 1: job_${job.jobId} has a negative ${negative}`;
  }
  return checkAgents(state) ?? checkWindows(state);
}

function checkAgents(state: EngineState): string | undefined {
  const asked = new Map<string, Resources>();
  const heldKeys = new Map<string, Set<string>>();
  for (const [key, task] of state.tasks) {
    if (!isHeld(task.state) || task.agentId === null) continue;
    const { agentId } = task;
    asked.set(agentId, addResources(asked.get(agentId) ?? NO_RESOURCES, state.askedBy(task)));
    heldKeys.set(agentId, (heldKeys.get(agentId) ?? new Set()).add(key));
  }
  for (const agent of state.agents.values()) {
    const keys = heldKeys.get(agent.agentId) ?? new Set();
    if (keys.size !== agent.leased.size || [...keys].some((key) => !agent.leased.has(key))) {
      return `memory 2: ${agent.agentId} is leased ${[...agent.leased].join(' ')}, tasks say ${[...keys].join(' ')}`;
    }
    const used = asked.get(agent.agentId) ?? NO_RESOURCES;
    if (!isSame(addResources(agent.free, used), agent.capacity)) {
      return `memory 3: ${agent.agentId} has ${JSON.stringify(agent.free)} free beside ${JSON.stringify(used)}`;
    }
  }
  return undefined;
}

function checkWindows(state: EngineState): string | undefined {
  for (const [jobId, window] of state.windows) {
    for (const [position, task] of window) {
      const known = state.tasks.get(taskKey(jobId, position));
      if (task.state !== 'queued' || known !== task) {
        return `memory 4: job_${jobId}.${position} is ${known?.state} and in the window as ${task.state}`;
      }
    }
  }
  return undefined;
}
