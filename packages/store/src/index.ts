export * from './engine-store.ts';
export { DatabaseTooNewError } from './migrate.ts';
export * from './postgres-store.ts';
export * from './reads.ts';
