import type { ApiContext } from '@majorana/control-plane/api/context';
import { openapi } from '@majorana/control-plane/api/openapi';
import { buildServer } from '@majorana/control-plane/api/server';
import { Metrics } from '@majorana/control-plane/metrics';
import type { OpenApi } from './api-reference.ts';

const ignore = (): void => undefined;
const silent = {
  level: 'silent',
  fatal: ignore,
  error: ignore,
  warn: ignore,
  info: ignore,
  debug: ignore,
  trace: ignore,
  silent: ignore,
  child: () => silent,
};

/** The document that a server gives at /api/v1/openapi.json; no request is answered for it. */
export async function openApiDocument(): Promise<OpenApi> {
  const app = await buildServer({} as ApiContext, new Metrics(), silent);
  await app.ready();
  const document = openapi(app);
  await app.close();
  return document as OpenApi;
}
