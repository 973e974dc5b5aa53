export * from './agent-messages.ts';
export * from './api.ts';
export * from './container.ts';
export * from './job-spec.ts';
export * from './workflow.ts';
