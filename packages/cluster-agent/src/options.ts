import path from 'node:path';
import { parseArgs } from 'node:util';
import type { NatsSettings } from '@majorana/broker/nats';
import { BROKER_OPTIONS, readBroker } from './broker-options.ts';
import type { CapacityOptions } from './local/capacity.ts';
import type { MemoryLimits } from './local/memory-groups.ts';
import { MEMORY_LIMITS } from './local/memory-groups.ts';

export interface AgentCommand {
  readonly data: string;
  /** Holds the agent's token; default: "token" in the data folder. */
  readonly tokenFile: string;
  /** Of the control plane; not needed with a broker. */
  readonly url: string | undefined;
  readonly broker: NatsSettings | undefined;
  /** Of the agent, by which the control plane and the broker know it; default: of this machine. */
  readonly name: string | undefined;
  readonly memoryLimits: MemoryLimits;
  readonly capacity: CapacityOptions;
}

function amount(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0)) {
    throw new Error(`--${name} ${text}: a number from 0 is needed`);
  }
  return value;
}

function whole(name: string, text: string | undefined): number | undefined {
  const value = amount(name, text);
  if (value === undefined || Number.isSafeInteger(value)) return value;
  throw new Error(`--${name} ${text}: a whole number is needed`);
}

function countable(texts: readonly string[]): Record<string, number> {
  const entries = texts.map((text) => {
    const [, name, count] = /^([A-Za-z0-9][\w.-]{0,62})=(.*)$/.exec(text) ?? [];
    if (name === undefined) throw new Error(`--resource ${text}: name=count is needed`);
    return [name, whole(`resource ${name}`, count)!] as const;
  });
  return Object.fromEntries(entries);
}

/** The agent's command line; what is not given is detected. */
export function readOptions(args: readonly string[]): AgentCommand {
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: { type: 'string' },
      url: { type: 'string' },
      'token-file': { type: 'string' },
      name: { type: 'string' },
      ...BROKER_OPTIONS,
      cores: { type: 'string' },
      memory: { type: 'string' },
      gpus: { type: 'string' },
      scratch: { type: 'string' },
      'memory-limits': { type: 'string', default: 'groups' },
      resource: { type: 'string', multiple: true, default: [] },
    },
  });
  const { data, url, name } = values;
  const broker = readBroker(values);
  if (data === undefined || (url === undefined && broker === undefined))
    throw new Error('--data and one of --url and --nats-url are needed');
  const memoryLimits = MEMORY_LIMITS.find((name) => name === values['memory-limits']);
  if (memoryLimits === undefined) {
    throw new Error(`--memory-limits ${values['memory-limits']}: ${MEMORY_LIMITS.join(' or ')}`);
  }
  return {
    data,
    tokenFile: values['token-file'] ?? path.join(data, 'token'),
    url,
    broker,
    name,
    memoryLimits,
    capacity: {
      cores: amount('cores', values.cores),
      memoryBytes: whole('memory', values.memory),
      gpuCount: whole('gpus', values.gpus),
      scratchBytes: whole('scratch', values.scratch),
      countable: countable(values.resource),
    },
  };
}
