import { existsSync, globSync } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Relay } from '@majorana/testing';
import { Keeper } from '../keeper.ts';
import type { TestKubernetes } from '../kubernetes.ts';
import { isBuilt, requireProgram } from '../programs.ts';
import { ServerProcess } from '../server-process.ts';
import { findInPath } from './busybox.ts';
import { CNI_PROGRAMS, Containerd } from './containerd.ts';
import { startKubeProxy } from './kube-proxy.ts';
import type { KubeletOptions, KubeletPlace } from './kubelet-configuration.ts';
import { prepareKubelet } from './kubelet-configuration.ts';
import { createNodeNamespace } from './node-namespace.ts';
import type { ImageSpec } from './oci-image.ts';
import { run } from './run.ts';

const TOOLS = [
  'containerd',
  'ctr',
  'runc',
  'iptables',
  'ip',
  'gcc',
  'unshare',
  'nsenter',
  'setpriv',
];
const PACKAGES = 'containerd runc containernetworking-plugins iptables iproute2 gcc libc6-dev';

/** Why a real kubelet cannot run here; undefined where it can. */
export function kubeletObstacle(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it needs root on Linux';
  if (!isBuilt('kubelet')) return 'it is not built: npm run kubernetes:build kubelet';
  const missing = TOOLS.find((tool) => findInPath(tool) === undefined);
  if (missing !== undefined) return `there is no ${missing}: apt-get install ${PACKAGES}`;
  if (!existsSync(path.join(CNI_PROGRAMS, 'bridge'))) return `there is no ${CNI_PROGRAMS}/bridge`;
  return undefined;
}

/** A real node: kubelet, containerd and runc in namespaces of their own. */
export class TestNode implements AsyncDisposable {
  readonly name: string;
  readonly folder: string;
  /** This machine, as pods of the node reach it. */
  readonly hostAddress: string;
  readonly #containerd: Containerd;
  readonly #kubelet: ServerProcess;
  readonly #relay: Relay;
  readonly #keeper: Keeper;

  constructor(place: KubeletPlace, parts: Parts) {
    this.name = place.name;
    this.folder = place.folder;
    this.hostAddress = place.namespace.hostAddress;
    this.#containerd = parts.containerd;
    this.#kubelet = parts.kubelet;
    this.#relay = parts.relay;
    this.#keeper = parts.keeper;
  }

  addImage(image: ImageSpec): Promise<void> {
    return this.#containerd.addImage(image);
  }

  /** An image that was built elsewhere, by its archive. */
  importImage(archive: string): Promise<void> {
    return this.#containerd.importImage(archive);
  }

  killKubelet(): Promise<void> {
    return this.#kubelet.kill();
  }

  restartKubelet(): Promise<void> {
    return this.#kubelet.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keeper.stop();
    await this.#relay[Symbol.asyncDispose]();
  }
}

interface Parts {
  readonly containerd: Containerd;
  readonly kubelet: ServerProcess;
  readonly relay: Relay;
  readonly keeper: Keeper;
}

/** The API server listens on loopback, which in the node's network is the node itself. */
const relayTo = (server: string, hostAddress: string): Promise<Relay> =>
  Relay.start(server, hostAddress, Number(new URL(server).port));

/** A group for all containers of the node, in each hierarchy; so that they can be found again. */
async function createCgroup(name: string): Promise<void> {
  const isVersion2 = existsSync('/sys/fs/cgroup/cgroup.controllers');
  const hierarchies = isVersion2 ? ['/sys/fs/cgroup'] : globSync('/sys/fs/cgroup/*');
  for (const hierarchy of hierarchies) await mkdir(path.join(hierarchy, name), { recursive: true });
}

async function startNode(
  kubernetes: TestKubernetes,
  keeper: Keeper,
  options: KubeletOptions,
): Promise<TestNode> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-node-'));
  const name = options.name ?? 'node-0';
  const cgroup = path.basename(folder);
  keeper.keep({ folder });
  keeper.keep({ cgroup });
  await createCgroup(cgroup);
  const pause = path.join(folder, 'pause');
  await run('gcc', [
    '-static',
    '-Os',
    '-s',
    '-o',
    pause,
    path.join(import.meta.dirname, 'pause.c'),
  ]);
  const namespace = await createNodeNamespace(keeper, pause);
  const containerd = await Containerd.start(folder, namespace, keeper, pause);
  const relay = await relayTo(kubernetes.server, namespace.hostAddress);
  const place = { name, folder, cgroup, containerdSocket: containerd.socket, namespace };
  const [program, args] = namespace.inside(
    requireProgram('kubelet'),
    await prepareKubelet(kubernetes, place, options),
  );
  const isReady = async (): Promise<boolean> => {
    const url = `/api/v1/nodes/${name}`;
    const node = await kubernetes.admin.get<NodeStatus>(url).catch(() => undefined);
    const ready = node?.status.conditions?.find(({ type }) => type === 'Ready');
    return ready?.status === 'True';
  };
  const kubelet = await ServerProcess.start(
    { name: 'kubelet', program, args, folder, isReady },
    keeper,
  );
  if (options.services === true) await startKubeProxy(kubernetes, place, keeper);
  return new TestNode(place, { containerd, kubelet, relay, keeper });
}

interface NodeStatus {
  readonly status: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export async function startKubelet(
  kubernetes: TestKubernetes,
  options: KubeletOptions = {},
): Promise<TestNode> {
  const obstacle = kubeletObstacle();
  if (obstacle !== undefined) throw new Error(`a kubelet cannot run here: ${obstacle}`);
  const keeper = new Keeper();
  try {
    return await startNode(kubernetes, keeper, options);
  } catch (error) {
    await keeper.stop();
    throw error;
  }
}
