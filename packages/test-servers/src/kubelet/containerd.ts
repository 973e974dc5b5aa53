import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Keeper } from '../keeper.ts';
import { ServerProcess } from '../server-process.ts';
import type { NodeNamespace } from './node-namespace.ts';
import type { ImageSpec } from './oci-image.ts';
import { buildImage } from './oci-image.ts';

export const CNI_PROGRAMS = '/usr/lib/cni';
export const POD_SUBNET = '10.214.0.0/24';
const PAUSE_IMAGE = 'majorana.test/pause:1';

/** Pods of one node see each other and this machine, and nothing beyond. */
const POD_NETWORK = {
  cniVersion: '0.4.0',
  name: 'pods',
  plugins: [
    {
      type: 'bridge',
      bridge: 'pods0',
      isGateway: true,
      ipMasq: true,
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: POD_SUBNET }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
};

const configuration = (folder: string): string => `
version = 2
root = "${folder}/root"
state = "${folder}/state"
[grpc]
  address = "${folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  # Lowering a score takes CAP_SYS_RESOURCE, which root in a container often lacks.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${CNI_PROGRAMS}"
    conf_dir = "${folder}/cni"
`;

/** A container runtime of one node, with its own images. */
export class Containerd {
  readonly socket: string;
  readonly #folder: string;
  readonly #namespace: NodeNamespace;

  private constructor(folder: string, namespace: NodeNamespace) {
    this.#folder = folder;
    this.#namespace = namespace;
    this.socket = path.join(folder, 'containerd.sock');
  }

  static async start(
    folder: string,
    namespace: NodeNamespace,
    keeper: Keeper,
    pause: string,
  ): Promise<Containerd> {
    await mkdir(path.join(folder, 'cni'), { recursive: true });
    await writeFile(path.join(folder, 'cni', '10-pods.conflist'), JSON.stringify(POD_NETWORK));
    await writeFile(path.join(folder, 'containerd.toml'), configuration(folder));
    const containerd = new Containerd(folder, namespace);
    const [program, args] = namespace.inside('containerd', [
      '--config',
      `${folder}/containerd.toml`,
    ]);
    const isReady = () =>
      containerd.#ctr('version').then(
        () => true,
        () => false,
      );
    await ServerProcess.start({ name: 'containerd', program, args, folder, isReady }, keeper);
    await containerd.addImage({
      name: PAUSE_IMAGE,
      files: { '/pause': pause },
      entrypoint: ['/pause'],
    });
    return containerd;
  }

  /** Builds an image from files of this machine; pods name it and need pull nothing. */
  async addImage(image: ImageSpec): Promise<void> {
    const archive = path.join(this.#folder, 'image.tar');
    await buildImage(archive, image);
    await this.importImage(archive);
  }

  async importImage(archive: string): Promise<void> {
    await this.#ctr('images', 'import', archive);
  }

  #ctr(...args: readonly string[]): Promise<string> {
    return this.#namespace.run('ctr', ['--address', this.socket, '--namespace', 'k8s.io', ...args]);
  }
}
