import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { KubernetesOptions, TestKubernetes, TestNode } from '@majorana/test-servers';
import { busyboxImage, startKubelet, startKubernetes } from '@majorana/test-servers';
import { runnerPath } from '../tools/build-runner.ts';
import { ClusterAgent } from './cluster.ts';
import { Product } from './product.ts';

export const NAMESPACE = 'majorana';
export const IMAGE = 'majorana.test/busybox:1';
const RUNNER_IMAGE = 'majorana.test/runner:1';

/** The product with a cluster of one real node: kubelet, containerd and the runner in its image. */
export class RealCluster implements AsyncDisposable {
  readonly product = new Product();
  kubernetes!: TestKubernetes;
  node!: TestNode;
  agent!: ClusterAgent;
  /** Of the node, which is this machine: tasks may mount what is below it. */
  readonly shared = mkdtempSync(path.join(os.tmpdir(), 'majorana-shared-'));
  readonly #agentArgs: readonly string[];
  readonly #options: KubernetesOptions;
  readonly #others: TestNode[] = [];

  constructor(agentArgs: readonly string[] = [], options: KubernetesOptions = {}) {
    this.#agentArgs = agentArgs;
    this.#options = options;
  }

  async start(): Promise<void> {
    this.kubernetes = await startKubernetes(this.#options);
    this.node = await startKubelet(this.kubernetes);
    await addImages(this.node);
    await this.kubernetes.createNamespace(NAMESPACE);
    await this.product.ok('up', '--detach', '--host', this.node.hostAddress);
    const { url } = await this.product.json<{ url: string }>('status');
    this.agent = new ClusterAgent(this.product, url, [
      '--name=real',
      `--kubeconfig=${this.kubernetes.adminKubeconfig}`,
      `--runner-image=${RUNNER_IMAGE}`,
      '--pull-patience-ms=20000',
      '--allow-host-network',
      `--allow-host-path=${this.shared}`,
      ...this.#agentArgs,
    ]);
    await this.agent.start();
  }

  /** Pods of two nodes do not reach one another. */
  async addNode(name: string): Promise<TestNode> {
    const node = await startKubelet(this.kubernetes, { name });
    this.#others.push(node);
    await addImages(node);
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent?.[Symbol.asyncDispose]();
    await this.product[Symbol.asyncDispose]();
    for (const node of this.#others) await node[Symbol.asyncDispose]();
    await this.node?.[Symbol.asyncDispose]();
    await this.kubernetes?.[Symbol.asyncDispose]();
    rmSync(this.shared, { recursive: true, force: true });
  }
}

async function addImages(node: TestNode): Promise<void> {
  await node.addImage(busyboxImage(IMAGE));
  const runner = runnerPath(process.arch === 'arm64' ? 'arm64' : 'amd64');
  await node.addImage({
    name: RUNNER_IMAGE,
    files: { '/majorana-runner': runner },
    entrypoint: ['/majorana-runner'],
  });
}
