import type {
  KubernetesApi,
  KubernetesObject,
  PolicyRule,
  TestKubernetes,
} from '@majorana/test-servers';
import { addKwokNodes, FaultProxy, seededRandom, startKubernetes } from '@majorana/test-servers';
import { TestPostgres } from '@majorana/testing';
import { afterAll, afterEach, beforeEach, expect } from 'vitest';
import { ClusterAgent } from './cluster.ts';
import type { PlayedJob } from './fault-workload.ts';
import { expectEndedOnce, submitPlayed, submitWorkload, untilEnded } from './fault-workload.ts';
import { kill, Product, until } from './product.ts';

const GIB = 1024 ** 3;
export const NAMESPACE = 'majorana';
const ACCOUNT = 'majorana-agent';
export const NODE_COUNT = 6;
export const NODE_CORES = 8;
/** Set to try others by hand. */
export const SEED = Number(process.env['MAJORANA_SEED'] ?? 1);

const ENDED_DEADLINE_MS = 90_000;

/** All that an agent asks of a cluster. */
const RULES: readonly PolicyRule[] = [
  { apiGroups: [''], resources: ['nodes'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['events'], verbs: ['list'] },
  { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch', 'create', 'delete'] },
];

export interface Cluster extends AsyncDisposable {
  readonly kubernetes: TestKubernetes;
  /** Between the agent and the API server. */
  readonly proxy: FaultProxy;
  readonly agent: ClusterAgent;
  /** Of the same name, not started. */
  readonly otherAgent: ClusterAgent;
}

/** A product with clusters whose parts can be made to fail. */
export class FaultGround implements AsyncDisposable {
  #random = seededRandom(SEED);
  readonly product: Product;
  readonly postgres: TestPostgres;
  readonly url: string;
  readonly clusters: Cluster[] = [];

  private constructor(product: Product, postgres: TestPostgres, url: string) {
    this.product = product;
    this.postgres = postgres;
    this.url = url;
  }

  /** `environment`: of the control plane; `clusters`: the options of each one's agent, by its name. */
  static async start(
    clusters: Readonly<Record<string, readonly string[]>> = {},
    environment: NodeJS.ProcessEnv = {},
  ): Promise<FaultGround> {
    const postgres = await TestPostgres.start();
    const product = new Product({ ...environment, MAJORANA_DATABASE_URL: postgres.url });
    await product.ok('up', '--detach');
    const { url } = await product.json<{ url: string }>('status');
    const ground = new FaultGround(product, postgres, url);
    try {
      for (const [name, args] of Object.entries(clusters)) await ground.addCluster(name, ...args);
    } catch (error) {
      await ground[Symbol.asyncDispose]();
      throw error;
    }
    return ground;
  }

  drawAnew(): void {
    this.#random = seededRandom(SEED);
  }

  /** Of so many, from 0. */
  draw(count: number): number {
    return Math.floor(this.#random() * count);
  }

  shuffled<T>(list: readonly T[]): T[] {
    const byDraw = list.map((one) => ({ one, drawn: this.#random() }));
    return byDraw.toSorted((a, b) => a.drawn - b.drawn).map(({ one }) => one);
  }

  async addCluster(name: string, ...agentArgs: string[]): Promise<Cluster> {
    const kubernetes = await startKubernetes({ kwok: true });
    for (let at = 0; at < NODE_COUNT; at += 1) await addNode(kubernetes.admin, `node-${at}-0`);
    await kubernetes.createNamespace(NAMESPACE);
    const proxy = await FaultProxy.start(kubernetes, SEED);
    const account = await kubernetes.serviceAccountKubeconfig(ACCOUNT, RULES);
    const kubeconfig = await proxy.kubeconfigThrough(kubernetes, account);
    const args = ['--name', name, '--kubeconfig', kubeconfig, ...agentArgs];
    const agent = new ClusterAgent(this.product, this.url, args);
    const otherAgent = new ClusterAgent(this.product, this.url, args);
    const cluster = {
      kubernetes,
      proxy,
      agent,
      otherAgent,
      [Symbol.asyncDispose]: async () => {
        await agent[Symbol.asyncDispose]();
        await otherAgent[Symbol.asyncDispose]();
        await proxy[Symbol.asyncDispose]();
        await kubernetes[Symbol.asyncDispose]();
      },
    };
    this.clusters.push(cluster);
    await agent.start();
    return cluster;
  }

  workload(taskCount: number): Promise<PlayedJob[]> {
    return submitWorkload(this.product, this.#random, taskCount);
  }

  played(
    play: { readonly runMs: number; readonly exitCode: number },
    taskCount: number,
    ...options: string[]
  ): Promise<PlayedJob> {
    return submitPlayed(this.product, play, taskCount, ...options);
  }

  async running({ jobId }: PlayedJob, count: number): Promise<void> {
    await until(`${count} tasks of job_${jobId} to run`, async () => {
      const text = "select 1 from task where job_id = $1 and state = 'running'";
      return (await this.postgres.query(text, [jobId])).length >= count;
    });
  }

  async ended(jobs: readonly PlayedJob[], count: number): Promise<void> {
    await until(`${count} tasks to end`, async () => {
      const text = "select 1 from task where job_id = any($1) and state in ('succeeded', 'failed')";
      const ids = jobs.map(({ jobId }) => jobId);
      return (await this.postgres.query(text, [ids])).length >= count;
    });
  }

  allEnded(jobs: readonly PlayedJob[]): Promise<void> {
    return untilEnded(this.postgres, jobs, ENDED_DEADLINE_MS);
  }

  killControlPlane(): void {
    kill(this.product.processes('control-plane'));
  }

  /** What must hold after any fault. */
  async verdict(jobs: readonly PlayedJob[]): Promise<void> {
    try {
      await this.allEnded(jobs);
      for (const job of jobs) await expectEndedOnce(this.postgres, job);
      await this.#nothingIsLeft();
      await this.#roomIsFull();
    } catch (error) {
      const agents = this.clusters.flatMap(({ agent, otherAgent }) => [agent, otherAgent]);
      const logs = agents.map(({ log }) => log.slice(-30000)).join('\n');
      throw new Error(`seed ${SEED}: ${(error as Error).message}\nthe agents said:\n${logs}`, {
        cause: error,
      });
    }
  }

  async #nothingIsLeft(): Promise<void> {
    for (const { kubernetes } of this.clusters)
      await until('the last pod to be gone', async () => (await podsOf(kubernetes)).length === 0);
    const open = 'select job_id, position, reason from attempt where ended_at_ms is null';
    expect(await this.postgres.query(open), 'leases').toEqual([]);
  }

  /** A task for each whole node of each cluster: they run at once only if no room is lost. */
  async #roomIsFull(): Promise<void> {
    const count = NODE_COUNT * this.clusters.length;
    const play = { runMs: 3000, exitCode: 0 };
    const job = await this.played(play, count, '--cores', String(NODE_CORES));
    await this.running(job, count);
    await this.product.ok('cancel', `job_${job.jobId}`);
    await untilEnded(this.postgres, [job], 60_000);
    for (const { kubernetes } of this.clusters)
      await until('the pods to be gone', async () => (await podsOf(kubernetes)).length === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cluster of this.clusters) await cluster[Symbol.asyncDispose]();
    await this.product[Symbol.asyncDispose]();
    await this.postgres[Symbol.asyncDispose]();
  }
}

/**
 * What a failed test broke is no later test's: that one begins on a new ground. Each draws from the
 * seed anew, so that alone it meets what it met among the others.
 */
export function onGoodGround(start: () => Promise<FaultGround>): void {
  let ground: FaultGround | undefined;
  const leave = async (): Promise<void> => {
    const left = ground;
    ground = undefined;
    await left?.[Symbol.asyncDispose]();
  };
  beforeEach(async () => {
    ground ??= await start();
    ground.drawAnew();
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') await leave();
  });
  afterAll(leave);
}

/** By its whole name, so that one that was deleted can come again. */
export async function addNode(admin: KubernetesApi, name: string): Promise<void> {
  const prefix = name.replace(/-0$/, '');
  await addKwokNodes(admin, { prefix, count: 1, cpu: NODE_CORES, memoryBytes: 64 * GIB });
}

export const ACCOUNT_USER = `system:serviceaccount:default:${ACCOUNT}`;

export async function podsOf(kubernetes: TestKubernetes): Promise<readonly KubernetesObject[]> {
  const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
  return (await kubernetes.admin.get<{ items: KubernetesObject[] }>(path)).items;
}
