export * from './connection.ts';
export * from './nats-exchange.ts';
export * from './nats-service.ts';
export * from './subjects.ts';
export * from './user.ts';
