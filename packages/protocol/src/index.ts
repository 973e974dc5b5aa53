export * from './agent-messages.ts';
export * from './api.ts';
export * from './container.ts';
export * from './dataset.ts';
export * from './job-spec.ts';
export * from './lineage.ts';
export * from './workflow.ts';
