export * from './agent-messages.ts';
export * from './api.ts';
export * from './container.ts';
export * from './job-spec.ts';
export * from './runner-messages.ts';
export * from './task-variables.ts';
export * from './workflow.ts';
