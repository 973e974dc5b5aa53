export * from './cutting-proxy.ts';
export * from './relay.ts';
export * from './s3-server.ts';
export * from './test-postgres.ts';
export * from './until.ts';
