export { withRequestFloor } from './demand.ts';
export * from './explain.ts';
export * from './node-index.ts';
export * from './node-picture.ts';
export * from './placement-group.ts';
export * from './plan-placement.ts';
export type { ImagePulls, PlacementRules } from './round.ts';
