export * from './access.ts';
export * from './engine-store.ts';
export { DatabaseTooNewError } from './migrate.ts';
export * from './parameter-sets.ts';
export * from './postgres-store.ts';
export * from './reads.ts';
export * from './retention.ts';
export * from './step-results.ts';
export * from './workflow-runs.ts';
