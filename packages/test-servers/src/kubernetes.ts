import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { freePort } from '@majorana/embedded-postgres';
import { until } from '@majorana/testing';
import { AuditLog } from './audit-log.ts';
import { CertificateAuthority } from './certificates.ts';
import {
  apiServerCommand,
  componentCommand,
  etcdCommand,
  issueServing,
} from './control-plane-commands.ts';
import { Keeper } from './keeper.ts';
import { readKubeconfig, writeKubeconfig } from './kubeconfig.ts';
import { KubernetesApi } from './kubernetes-api.ts';
import { startKwok } from './kwok.ts';
import { ServerProcess } from './server-process.ts';
import type { PolicyRule } from './service-account.ts';
import { createServiceAccount } from './service-account.ts';

export interface KubernetesOptions {
  /** Runs kube-controller-manager; without it no service account, endpoint or garbage is seen to. */
  readonly controllerManager?: boolean;
  readonly scheduler?: boolean;
  /** More arguments of kube-controller-manager, and of kube-scheduler. */
  readonly controllerManagerArgs?: readonly string[];
  readonly schedulerArgs?: readonly string[];
  /** Plays nodes and pods that carry its label; addNodes of kwok-nodes.ts makes such nodes. */
  readonly kwok?: boolean;
  /** More arguments of kube-apiserver. */
  readonly apiServerArgs?: readonly string[];
}

interface Servers {
  readonly etcd: ServerProcess;
  readonly apiServer: ServerProcess;
  readonly admin: KubernetesApi;
}

/** A Kubernetes of one test: real etcd and API server on loopback, in a folder that goes with it. */
export class TestKubernetes implements AsyncDisposable {
  readonly folder: string;
  readonly server: string;
  readonly authority: CertificateAuthority;
  readonly keeper: Keeper;
  readonly audit: AuditLog;
  readonly adminKubeconfig: string;
  readonly admin: KubernetesApi;
  readonly #etcd: ServerProcess;
  readonly #apiServer: ServerProcess;
  readonly #options: KubernetesOptions;

  constructor(ground: Ground, servers: Servers, options: KubernetesOptions) {
    this.folder = ground.folder;
    this.server = ground.server;
    this.authority = ground.authority;
    this.keeper = ground.keeper;
    this.adminKubeconfig = ground.adminKubeconfig;
    this.audit = new AuditLog(path.join(ground.folder, 'audit.log'));
    this.admin = servers.admin;
    this.#etcd = servers.etcd;
    this.#apiServer = servers.apiServer;
    this.#options = options;
  }

  /** A kubeconfig of a component, known by its certificate, as Kubernetes' own are. */
  async componentKubeconfig(name: string, subject: string, server = this.server): Promise<string> {
    return writeKubeconfig(path.join(this.folder, `${name}.kubeconfig`), {
      server,
      caPath: this.authority.certificatePath,
      user: { certificate: await this.authority.issue({ name, subject }) },
      serverName: '127.0.0.1',
    });
  }

  /** A kubeconfig of a service account that may do what the rules say in the whole cluster. */
  async serviceAccountKubeconfig(name: string, rules: readonly PolicyRule[]): Promise<string> {
    const token = await createServiceAccount(this.admin, name, rules);
    return writeKubeconfig(path.join(this.folder, `${name}.kubeconfig`), {
      server: this.server,
      caPath: this.authority.certificatePath,
      user: { token },
    });
  }

  async createNamespace(name: string): Promise<void> {
    const metadata = { name };
    await this.admin.create('/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata,
    });
    if (this.#options.controllerManager !== true) return;
    // The account that each pod gets; without it pods are refused.
    await until(`the service account of ${name}`, () =>
      this.admin.get(`/api/v1/namespaces/${name}/serviceaccounts/default`).then(
        () => true,
        () => false,
      ),
    );
  }

  killApiServer(): Promise<void> {
    return this.#apiServer.kill();
  }

  restartApiServer(): Promise<void> {
    return this.#apiServer.start();
  }

  /**
   * Another authority, in the files of the one before, signs the server's certificate and is the one
   * whose clients are known. Only the administrator is told.
   */
  async replaceAuthority(): Promise<void> {
    await this.killApiServer();
    await CertificateAuthority.create(this.folder);
    await issueServing(this.authority);
    this.admin.trust(await readFile(this.authority.certificatePath, 'utf8'));
    await this.restartApiServer();
  }

  pauseEtcd(): void {
    this.#etcd.pause();
  }

  resumeEtcd(): void {
    this.#etcd.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.admin[Symbol.dispose]();
    await this.keeper.stop();
  }
}

/** What stands before the first server: a folder, an authority, an address, the administrator. */
export interface Ground {
  readonly folder: string;
  readonly keeper: Keeper;
  readonly authority: CertificateAuthority;
  readonly port: number;
  readonly server: string;
  readonly adminKubeconfig: string;
}

async function prepareGround(keeper: Keeper): Promise<Ground> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-kubernetes-'));
  keeper.keep({ folder });
  const authority = await CertificateAuthority.create(folder);
  const port = await freePort();
  const server = `https://127.0.0.1:${port}`;
  const token = crypto.randomUUID();
  // Token, user, number of the user, group: the administrator, also through a proxy that ends TLS.
  await writeFile(path.join(folder, 'tokens.csv'), `${token},admin,admin,system:masters\n`, {
    mode: 0o600,
  });
  const adminKubeconfig = await writeKubeconfig(path.join(folder, 'admin.kubeconfig'), {
    server,
    caPath: authority.certificatePath,
    user: { token },
  });
  return { folder, keeper, authority, port, server, adminKubeconfig };
}

async function startAll(keeper: Keeper, options: KubernetesOptions): Promise<TestKubernetes> {
  const ground = await prepareGround(keeper);
  const { command, url } = await etcdCommand(ground.folder);
  const etcd = await ServerProcess.start(command, keeper);
  const admin = new KubernetesApi(await readKubeconfig(ground.adminKubeconfig));
  const apiServer = await ServerProcess.start(
    await apiServerCommand(ground, url, options, admin),
    keeper,
  );
  const kubernetes = new TestKubernetes(ground, { etcd, apiServer, admin }, options);
  if (options.controllerManager === true) {
    await ServerProcess.start(
      await componentCommand(kubernetes, 'controller-manager', options.controllerManagerArgs),
      keeper,
    );
  }
  if (options.scheduler === true) {
    await ServerProcess.start(
      await componentCommand(kubernetes, 'scheduler', options.schedulerArgs),
      keeper,
    );
  }
  if (options.kwok === true) await startKwok(kubernetes, options.controllerManager === true);
  return kubernetes;
}

/** Whatever was started is ended again when a later part does not start. */
export async function startKubernetes(options: KubernetesOptions = {}): Promise<TestKubernetes> {
  const keeper = new Keeper();
  try {
    return await startAll(keeper, options);
  } catch (error) {
    await keeper.stop();
    throw error;
  }
}
