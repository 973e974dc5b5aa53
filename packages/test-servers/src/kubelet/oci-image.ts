import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { run } from './run.ts';

export interface ImageSpec {
  /** With its host and tag: majorana.test/busybox:1. */
  readonly name: string;
  /** Path in the image -> file of this machine; all are executable, owned by root. */
  readonly files: Record<string, string>;
  readonly entrypoint?: readonly string[];
  readonly environment?: Record<string, string>;
}

const TYPES = 'application/vnd.oci.image';

/** The same files make the same bytes. */
const REPRODUCIBLE = ['--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--sort=name'];

const tar = (archive: string, folder: string): Promise<string> =>
  run('tar', ['--create', ...REPRODUCIBLE, '--file', archive, '--directory', folder, '.']);

async function makeLayer(folder: string, files: Record<string, string>): Promise<Buffer> {
  const root = path.join(folder, 'root');
  await mkdir(path.join(root, 'tmp'), { recursive: true });
  await chmod(path.join(root, 'tmp'), 0o1777);
  for (const [target, source] of Object.entries(files)) {
    const file = path.join(root, target);
    await mkdir(path.dirname(file), { recursive: true });
    await cp(source, file, { dereference: true });
    await chmod(file, 0o755);
  }
  await tar(path.join(folder, 'layer.tar'), root);
  return readFile(path.join(folder, 'layer.tar'));
}

/** Writes an OCI archive of one layer, without a registry or a builder. */
export async function buildImage(archive: string, image: ImageSpec): Promise<void> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-image-'));
  const layout = path.join(folder, 'layout');
  await mkdir(path.join(layout, 'blobs', 'sha256'), { recursive: true });
  const store = async (mediaType: string, content: Buffer | object): Promise<object> => {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    const hash = createHash('sha256').update(bytes).digest('hex');
    await writeFile(path.join(layout, 'blobs', 'sha256', hash), bytes);
    return { mediaType: `${TYPES}.${mediaType}`, digest: `sha256:${hash}`, size: bytes.length };
  };
  const bytes = await makeLayer(folder, image.files);
  const layer = await store('layer.v1.tar', bytes);
  const config = await store('config.v1+json', {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: {
      Entrypoint: image.entrypoint,
      Env: Object.entries({ PATH: '/bin', ...image.environment }).map(
        ([key, value]) => `${key}=${value}`,
      ),
    },
    rootfs: {
      type: 'layers',
      diff_ids: [`sha256:${createHash('sha256').update(bytes).digest('hex')}`],
    },
  });
  const manifest = await store('manifest.v1+json', {
    schemaVersion: 2,
    mediaType: `${TYPES}.manifest.v1+json`,
    config,
    layers: [layer],
  });
  const annotations = { 'io.containerd.image.name': image.name };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  await writeFile(path.join(layout, 'index.json'), JSON.stringify(index));
  await writeFile(path.join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await tar(archive, layout);
  await rm(folder, { recursive: true });
}
