export * from './simulation.ts';
