export * from './test-postgres.ts';
export * from './until.ts';
