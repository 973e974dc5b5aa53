import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { FolderObjects } from '@majorana/objects';
import type { AgentOrders } from '@majorana/protocol';
import { detectCapacity } from './local/capacity.ts';
import type { Exchange } from './local/local-agent.ts';
import { LocalAgent } from './local/local-agent.ts';

const { values } = parseArgs({
  options: { data: { type: 'string' }, url: { type: 'string' }, cores: { type: 'string' } },
});
const { data, url } = values;
if (data === undefined || url === undefined) throw new Error('--data and --url are needed');

const exchange: Exchange = async (sync, signal) => {
  const token = (await readFile(path.join(data, 'token'), 'utf8')).trim();
  const response = await fetch(`${url}/api/v1/agents/sync`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify(sync),
    signal: AbortSignal.any([signal, AbortSignal.timeout(sync.waitMs + 30_000)]),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as AgentOrders;
};

const detected = detectCapacity();
const agent = new LocalAgent({
  agentId: `local-${os.hostname()}`,
  root: path.join(data, 'agent'),
  capacity:
    values.cores === undefined ? detected : { ...detected, cpuMillis: Number(values.cores) * 1000 },
  objects: new FolderObjects(path.join(data, 'objects')),
  exchange,
  log: (message, details) => process.stderr.write(`${JSON.stringify({ message, ...details })}\n`),
});
await agent.start();
process.once('SIGTERM', () => void agent[Symbol.asyncDispose]());
