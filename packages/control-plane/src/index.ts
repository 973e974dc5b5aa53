export { buildServer } from './api/server.ts';
export { Engine } from './engine/engine.ts';
