export * from './array-range.ts';
export * from './dispatch-ahead.ts';
export * from './dispatch.ts';
export * from './ids.ts';
export * from './placeholder.ts';
export * from './resources.ts';
export * from './retry.ts';
export * from './task-state.ts';
