export * from './agent-messages.ts';
export * from './job-spec.ts';
