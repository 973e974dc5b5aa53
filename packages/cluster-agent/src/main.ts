import { mkdir, readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { openObjects } from '@majorana/objects';
import type { AgentOrders } from '@majorana/protocol';
import { Agent } from './engine/agent.ts';
import type { AgentClock, Exchange } from './engine/ports.ts';
import { detectCapacity } from './local/capacity.ts';
import { LocalHost } from './local/local-host.ts';
import { readOptions } from './options.ts';

const clock: AgentClock = {
  nowMs: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

function httpExchange(url: string, tokenFile: string): Exchange {
  return async (sync, signal) => {
    const token = (await readFile(tokenFile, 'utf8')).trim();
    const response = await fetch(`${url}/api/v1/agents/sync`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify(sync),
      signal,
    });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return (await response.json()) as AgentOrders;
  };
}

const { data, url, memoryLimits, capacity: asked } = readOptions(process.argv.slice(2));
const root = path.join(data, 'agent');
const log = (message: string, details: object): void => {
  process.stderr.write(`${JSON.stringify({ message, ...details })}\n`);
};
await mkdir(root, { recursive: true, mode: 0o700 });
const capacity = await detectCapacity(root, asked);
const objects = await openObjects(process.env['MAJORANA_OBJECTS_URL'], path.join(data, 'objects'));
const { gpuCount } = capacity;
const host = await LocalHost.open({ root, gpuCount, objects, memoryLimits, log });
const agent = new Agent({
  agentId: `local-${os.hostname()}`,
  capacity,
  host,
  exchange: httpExchange(url, path.join(data, 'token')),
  clock,
  log,
});
await agent.start();
process.once('SIGTERM', () => {
  void agent.stop().finally(() => host[Symbol.dispose]());
});
