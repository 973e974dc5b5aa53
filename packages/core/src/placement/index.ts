export { withRequestFloor } from './demand.ts';
export * from './explain.ts';
export type { ImagePulls } from './image-state.ts';
export * from './node-index.ts';
export * from './node-picture.ts';
export type { Assignment, LeftGroup } from './outcome.ts';
export * from './placement-group.ts';
export * from './plan-placement.ts';
export type { PlacementRules } from './round.ts';
