import { setTimeout as sleep } from 'node:timers/promises';
import { startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { kill } from '../e2e/product.ts';
import type { Figure } from './figure.ts';
import { seconds, timed } from './figure.ts';
import { addNodes, etcdBytes, serversOf } from './kubernetes-load.ts';
import { ClusterProduct } from './kubernetes-product.ts';
import { ProcessCosts, residentMib } from './process-costs.ts';

const HOUR_MS = 3_600_000;
const REST_MS = 30_000;
const DEADLINE_MS = 300_000;

const shown = (numbers: Readonly<Record<string, number>>, digits: number): string =>
  Object.entries(numbers)
    .map(([name, value]) => `${name} ${value.toFixed(digits)}`)
    .join(', ');

/** A cluster full of pods that run for hours, or as full as it gets within a time. */
class HeldCluster {
  readonly #cluster: ClusterProduct;
  #jobId = '';
  #running = 0;

  constructor(cluster: ClusterProduct) {
    this.#cluster = cluster;
  }

  async #runningCount(): Promise<number> {
    return (await this.#cluster.job(this.#jobId)).counts['running']!;
  }

  async fill(tasks: number, fillMs: number): Promise<number> {
    this.#jobId = (await this.#cluster.submit(tasks)).id;
    const deadline = Date.now() + fillMs;
    while (this.#running < tasks && Date.now() < deadline) {
      await sleep(2000);
      this.#running = await this.#runningCount();
    }
    if (this.#running === tasks) return tasks;
    // What waits would keep the agent and the servers busy.
    await this.#cluster.ask('PUT', 'queues/default', { parallelMax: 1 });
    const { counts } = await until(
      'what was begun to run',
      async () => {
        const job = await this.#cluster.job(this.#jobId);
        return job.counts['leased']! + job.counts['starting']! === 0 && job;
      },
      DEADLINE_MS,
    );
    return (this.#running = counts['running']!);
  }

  /** The agent has been heard of since, and all that ran runs. */
  async untilWhole(sinceMs: number): Promise<void> {
    const isWhole = async (): Promise<boolean> => {
      const { agents } = await this.#cluster.ask<{
        agents: { id: string; lastSeenMs: number }[];
      }>('GET', 'agents');
      const isHeard = agents.some(({ id, lastSeenMs }) => id === 'kwok' && lastSeenMs > sinceMs);
      return isHeard && (await this.#runningCount()) === this.#running;
    };
    // A server that has just been killed refuses connections.
    await until('all to be held again', () => isWhole().catch(() => false), DEADLINE_MS);
  }
}

/** What holding so many pods costs. By hand, since making 24,000 of them takes minutes. */
export async function heldFigures(nodes: number, fillMinutes: number): Promise<Figure[]> {
  await using kubernetes = await startKubernetes({ kwok: true });
  await addNodes(kubernetes, nodes);
  await using cluster = new ClusterProduct(kubernetes);
  await cluster.start({ nodes, tasks: 0, runMs: 6 * HOUR_MS });
  await cluster.agent.start();
  const held = new HeldCluster(cluster);
  const filled = await timed(() => held.fill(nodes * 24, fillMinutes * 60_000));
  const pids = { ...cluster.pids(), ...serversOf(kubernetes) };
  const memory = Object.entries(pids).map(([name, pid]) => [name, residentMib(pid, 'VmRSS')]);
  const etcdMib = (await etcdBytes(kubernetes)) / 2 ** 20;
  const costs = new ProcessCosts(pids);
  await sleep(REST_MS);
  const rest = Object.entries(costs.cpuMs()).map(([name, ms]) => [name, (ms / REST_MS) * 100]);
  const agent = await timed(async () => {
    await cluster.agent.kill();
    const sinceMs = Date.now();
    await cluster.agent.start();
    await held.untilWhole(sinceMs);
  });
  const server = await timed(async () => {
    kill([cluster.pids()['control plane']!]);
    await held.untilWhole(Date.now());
  });
  const what = `${filled.value} pods held on ${nodes} nodes`;
  return [
    {
      name: what,
      value: `full after ${seconds(filled.ms)}`,
      beside: `etcd ${etcdMib.toFixed(0)} MiB`,
    },
    { name: `${what}: memory`, value: shown(Object.fromEntries(memory), 0), beside: 'MiB' },
    { name: `${what}: at rest`, value: shown(Object.fromEntries(rest), 1), beside: '% of a core' },
    { name: `${what}: agent killed`, value: seconds(agent.ms), beside: 'until all is held again' },
    { name: `${what}: control plane killed`, value: seconds(server.ms), beside: 'the same' },
  ];
}
