export { Agent } from './engine/agent.ts';
export type { AgentOptions } from './engine/agent.ts';
export * from './engine/ports.ts';
export type { CapacityOptions } from './local/capacity.ts';
export { detectCapacity } from './local/capacity.ts';
export { LocalHost } from './local/local-host.ts';
export type { MemoryLimits } from './local/memory-groups.ts';
