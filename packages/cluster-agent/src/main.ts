import { mkdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { apiFetch, httpExchange, tokenIn } from '@majorana/broker';
import { openObjects } from '@majorana/objects';
import { exchangeBy } from './broker-options.ts';
import { Agent } from './engine/agent.ts';
import { detectCapacity } from './local/capacity.ts';
import { LocalHost } from './local/local-host.ts';
import { readOptions } from './options.ts';
import { systemClock } from './system-clock.ts';

const {
  data,
  tokenFile,
  url,
  broker,
  name,
  memoryLimits,
  capacity: asked,
} = readOptions(process.argv.slice(2));
const root = path.join(data, 'agent');
const log = (message: string, details: object): void => {
  process.stderr.write(`${JSON.stringify({ message, ...details })}\n`);
};
await mkdir(root, { recursive: true, mode: 0o700 });
const capacity = await detectCapacity(root, asked);
const objects = await openObjects(process.env['MAJORANA_OBJECTS_URL'], path.join(data, 'objects'));
const { gpuCount } = capacity;
const host = await LocalHost.open({ root, gpuCount, objects, memoryLimits, log });
const agentId = name ?? `local-${os.hostname()}`;
const agent = new Agent({
  agentId,
  capacity,
  host,
  exchange: exchangeBy(broker, agentId, () => httpExchange(apiFetch(url!, tokenIn(tokenFile)))),
  clock: systemClock,
  log,
});
await agent.start();
process.once('SIGTERM', () => {
  void agent.stop().finally(() => host[Symbol.dispose]());
});
