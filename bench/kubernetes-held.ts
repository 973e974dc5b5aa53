import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { kill } from '../e2e/product.ts';
import { timed } from './figure.ts';
import { addNodes, etcdBytes, serversOf } from './kubernetes-load.ts';
import { ClusterProduct } from './kubernetes-product.ts';
import { ProcessCosts, residentMib } from './process-costs.ts';

/**
 * `node bench/kubernetes-held.ts --nodes 1000`: fills a cluster with pods that run for hours, and
 * tells what holding them costs. By hand, since making 24,000 pods takes minutes.
 */
const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '1000' },
    /** What runs by then is what is measured. */
    'fill-minutes': { type: 'string', default: '20' },
  },
});
const nodes = Number(values.nodes);
const fillMs = Number(values['fill-minutes']) * 60_000;
const load = { nodes, tasks: nodes * 24, runMs: 6 * 3_600_000 };
const REST_MS = 30_000;
const RESTART_DEADLINE_MS = 300_000;

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const shown = (numbers: Readonly<Record<string, number>>, digits: number): string =>
  Object.entries(numbers)
    .map(([name, value]) => `${name} ${value.toFixed(digits)}`)
    .join(', ');

await using kubernetes = await startKubernetes({ kwok: true });
await addNodes(kubernetes, nodes);
await using cluster = new ClusterProduct(kubernetes);
await cluster.start(load);
await cluster.agent.start();
const { id } = await cluster.submit(load.tasks);
const runningCount = async (): Promise<number> => (await cluster.job(id)).counts['running']!;

const beganMs = Date.now();
let running = 0;
while (running < load.tasks && Date.now() - beganMs < fillMs) {
  await sleep(2000);
  running = await runningCount();
}
if (running < load.tasks) {
  // What waits would keep the agent and the servers busy.
  await cluster.ask('PUT', 'queues/default', { parallelMax: running });
  await sleep(20_000);
  running = await runningCount();
}
say(`${running} of ${load.tasks} pods run after ${((Date.now() - beganMs) / 1000).toFixed(0)} s`);

const pids = { ...cluster.pids(), ...serversOf(kubernetes) };
const memory = Object.fromEntries(
  Object.entries(pids).map(([name, pid]) => [name, residentMib(pid, 'VmRSS')]),
);
say(
  `memory, MiB: ${shown(memory, 0)}; etcd's file ${((await etcdBytes(kubernetes)) / 2 ** 20).toFixed(0)}`,
);
const costs = new ProcessCosts(pids);
await sleep(REST_MS);
const percent = Object.entries(costs.cpuMs()).map(([name, ms]) => [name, (ms / REST_MS) * 100]);
say(`at rest, % of a core: ${shown(Object.fromEntries(percent), 1)}`);

/** Whole again: a task that is submitted now runs, so the agent and the server know each other. */
async function untilWhole(): Promise<void> {
  await until(
    'everything to be held again',
    async () => {
      const { agents } = await cluster.ask<{ agents: { id: string; lastSeenMs: number }[] }>(
        'GET',
        'agents',
      );
      return agents.some((agent) => agent.id === 'kwok') && (await runningCount()) >= running;
    },
    RESTART_DEADLINE_MS,
  );
}

const agent = await timed(async () => {
  await cluster.agent.kill();
  await cluster.agent.start();
  await untilWhole();
});
say(`the agent killed and started: whole again after ${(agent.ms / 1000).toFixed(1)} s`);
const server = await timed(async () => {
  kill([cluster.pids()['control plane']!]);
  await until(
    'the control plane to answer',
    () =>
      untilWhole().then(
        () => true,
        () => false,
      ),
    RESTART_DEADLINE_MS,
  );
});
say(`the control plane killed and started: whole again after ${(server.ms / 1000).toFixed(1)} s`);
const { counts } = await cluster.job(id);
say(`after both: ${JSON.stringify(counts)}`);
