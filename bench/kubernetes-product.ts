import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { TestKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { ClusterAgent } from '../e2e/cluster.ts';
import { Product } from '../e2e/product.ts';
import type { Load } from './kubernetes-load.ts';
import {
  CONTAINER,
  podCount,
  podsOf,
  RESOURCES,
  runAnnotation,
  serversOf,
} from './kubernetes-load.ts';
import { ProcessCosts } from './process-costs.ts';

export const NAMESPACE = 'majorana';
/** Asking costs what is measured, and the end is seen half of this too late on average. */
const POLL_MS = 500;

interface Job {
  readonly id: string;
  readonly endedAtMs: number | null;
  readonly counts: Readonly<Record<string, number>>;
}

export interface ProductRun {
  readonly lifeSeconds: number;
  readonly cpuMs: Readonly<Record<string, number>>;
  readonly peakMib: Readonly<Record<string, number>>;
  /** Of the agent, as the API server's audit log has them. */
  readonly requestsByVerb: ReadonlyMap<string, number>;
  readonly manifestBytes: number;
}

/** The product and an agent for a cluster, each process as a user has it. */
export class ClusterProduct implements AsyncDisposable {
  readonly product = new Product();
  readonly kubernetes: TestKubernetes;
  /** Runs only when asked to: it watches all pods, those of other contenders too. */
  agent!: ClusterAgent;
  #url = '';
  #token = '';

  constructor(kubernetes: TestKubernetes) {
    this.kubernetes = kubernetes;
  }

  async start(load: Load): Promise<void> {
    await this.kubernetes.createNamespace(NAMESPACE);
    await this.product.ok('up', '--detach', '--cores', '1');
    this.#url = (await this.product.json<{ url: string }>('status')).url;
    this.#token = readFileSync(path.join(this.product.data, 'token'), 'utf8').trim();
    const annotations = Object.entries(runAnnotation(load)).flatMap(([key, value]) => [
      '--annotation',
      `${key}=${value}`,
    ]);
    const kubeconfig = await this.kubernetes.serviceAccountKubeconfig('agent', [
      { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch', 'create', 'delete'] },
      { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] },
    ]);
    this.agent = new ClusterAgent(this.product, this.#url, [
      '--name',
      'kwok',
      '--kubeconfig',
      kubeconfig,
      ...annotations,
    ]);
  }

  /** Its processes, by the name that the results give them. */
  pids(): Record<string, number> {
    const file = path.join(this.product.data, 'parts.json');
    const parts = JSON.parse(readFileSync(file, 'utf8')) as {
      name: string;
      process: { pid: number };
    }[];
    const pidOf = (name: string): number => parts.find((part) => part.name === name)!.process.pid;
    return {
      agent: this.agent.pid,
      'control plane': pidOf('server'),
      PostgreSQL: pidOf('postgres'),
    };
  }

  async ask<T>(method: string, route: string, body?: object): Promise<T> {
    const response = await fetch(`${this.#url}/api/v1/${route}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (!response.ok)
      throw new Error(`${method} ${route}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  submit(tasks: number, over: object = {}): Promise<Job> {
    return this.ask('POST', 'jobs', {
      argv: ['true'],
      container: CONTAINER,
      resources: RESOURCES,
      array: { kind: 'range', ranges: [{ from: 0, to: tasks - 1, step: 1 }] },
      ...over,
    });
  }

  job(id: string): Promise<Job> {
    return this.ask('GET', `jobs/${id}`);
  }

  /** Every task submitted, succeeded in PostgreSQL, its pod gone. */
  async run(load: Load, deadlineMs: number): Promise<ProductRun> {
    const { kubernetes, agent } = this;
    await agent.start();
    const mark = await kubernetes.audit.mark();
    const costs = new ProcessCosts({ ...this.pids(), ...serversOf(kubernetes) });
    const startedAt = performance.now();
    const { id } = await this.submit(load.tasks);
    const manifestBytes = await this.#firstManifestBytes();
    const job = await this.#ended(id, deadlineMs);
    if (job.counts['succeeded'] !== load.tasks)
      throw new Error(`of ${load.tasks} tasks ended ${JSON.stringify(job.counts)}`);
    await until(
      'the pods to be gone',
      async () => (await podCount(kubernetes, NAMESPACE)) === 0,
      deadlineMs,
    );
    const lifeSeconds = (performance.now() - startedAt) / 1000;
    const [cpuMs, peakMib] = [costs.cpuMs(), costs.peakMib()];
    await agent.kill('SIGTERM');
    return {
      lifeSeconds,
      cpuMs,
      peakMib,
      manifestBytes,
      requestsByVerb: await this.#requests(mark),
    };
  }

  async #ended(id: string, deadlineMs: number): Promise<Job> {
    const deadline = Date.now() + deadlineMs;
    for (;;) {
      const job = await this.job(id);
      if (job.endedAtMs !== null) return job;
      if (Date.now() > deadline)
        throw new Error(
          `${id} did not end within ${deadlineMs / 1000} s: ${JSON.stringify(job.counts)}`,
        );
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** As it was created: what the server and the kubelet add is left out. */
  async #firstManifestBytes(): Promise<number> {
    const { items } = await until('a first pod', async () => {
      const list = await this.kubernetes.admin.get<{
        items: { metadata: object; status: object; kind?: string }[];
      }>(`${podsOf(NAMESPACE)}?limit=1`);
      return list.items.length > 0 && list;
    });
    const { status, metadata, ...rest } = items[0]!;
    const { managedFields, ...kept } = metadata as { managedFields?: object };
    void [status, managedFields];
    return Buffer.byteLength(JSON.stringify({ ...rest, metadata: kept }));
  }

  async #requests(mark: number): Promise<ReadonlyMap<string, number>> {
    const byVerb = new Map<string, number>();
    const user = 'system:serviceaccount:default:agent';
    for (const { verb, objectRef } of await this.kubernetes.audit.requestsOf(user, mark)) {
      if (objectRef?.resource === 'pods') byVerb.set(verb, (byVerb.get(verb) ?? 0) + 1);
    }
    return byVerb;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent.kill('SIGTERM');
    await this.product[Symbol.asyncDispose]();
  }
}
