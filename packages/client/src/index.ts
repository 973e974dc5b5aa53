export * from './client.ts';
export type { JobEvent } from './events.ts';
export { ApiError, sleep } from './request.ts';
export type { CallOptions, ClientOptions, Issue } from './request.ts';
export * from './transfers.ts';
export * from './workflow-builder.ts';
