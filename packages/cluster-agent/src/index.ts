export * from './local/local-agent.ts';
export { detectCapacity } from './local/capacity.ts';
