export * from './http-exchange.ts';
export * from './memory-broker.ts';
export * from './ports.ts';
