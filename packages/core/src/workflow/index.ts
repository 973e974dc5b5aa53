export * from './advance.ts';
export * from './check.ts';
export * from './condition.ts';
export * from './definition.ts';
export * from './elements.ts';
export * from './key.ts';
export * from './scope.ts';
export * from './state.ts';
