import { formatQuantity } from '@majorana/core';
import type { AgentView } from '@majorana/protocol';
import type { Command } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { answer, formatDuration, table } from '../output.ts';

function agentRow({ id, capacity, free, heldCount, lastSeenMs }: AgentView): string[] {
  const bytes = (amount: number): string => formatQuantity('Bytes', amount).trim();
  const others = Object.entries(capacity.countable).map(
    ([name, count]) => `${free.countable[name] ?? 0}/${count} ${name}`,
  );
  return [
    id,
    `${free.cpuMillis / 1000}/${capacity.cpuMillis / 1000}`,
    `${bytes(free.memoryBytes)} / ${bytes(capacity.memoryBytes)}`,
    `${free.gpuCount}/${capacity.gpuCount}`,
    others.join(', '),
    String(heldCount),
    `${formatDuration(Date.now() - lastSeenMs)} ago`,
  ];
}

export function addAgentCommands(program: Command): void {
  addCommand(program, {
    usage: 'agents',
    description:
      'the agents that run tasks: what they have, what is free, when they were last heard',
    examples: ['majorana agents', 'majorana agents --json'],
  }).action(async (options: JsonOption) => {
    const page = await connect().agents();
    const headers = ['AGENT', 'CORES FREE', 'MEMORY FREE', 'GPUS FREE', 'OTHER', 'TASKS', 'HEARD'];
    answer(options, page, () =>
      page.agents.length === 0
        ? 'no agents: nothing can run'
        : table(headers, page.agents.map(agentRow)),
    );
  });
}
