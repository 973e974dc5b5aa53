/**
 * Builds images/agent and images/runner from their own Dockerfiles, without a registry:
 * `npm run images:build`. What their FROM names is played by a Debian of debootstrap with this
 * machine's Node, npm and Go: the Dockerfiles are tried, the bases are not.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const root = path.join(import.meta.dirname, '..');
const cache = path.join(
  process.env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache'),
  'majorana/images',
);

export const IMAGES = {
  agent: {
    name: 'majorana-agent:0.1.0',
    from: 'docker.io/library/node:24-bookworm-slim',
    sources: ['package.json', 'package-lock.json', 'apps/**', 'packages/**'],
  },
  runner: {
    name: 'majorana-runner:0.1.0',
    from: 'docker.io/library/golang:1.24',
    sources: ['runner/**'],
  },
} as const;
export type ImageName = keyof typeof IMAGES;
const IMAGE_NAMES = Object.keys(IMAGES) as ImageName[];

const dockerfile = (image: ImageName): string => path.join(root, 'images', image, 'Dockerfile');

function sourcesHash(image: ImageName): string {
  const hash = createHash('sha256').update(readFileSync(dockerfile(image)));
  hash.update(readFileSync(path.join(root, '.dockerignore')));
  const exclude = (name: string): boolean => name === 'node_modules';
  for (const name of globSync([...IMAGES[image].sources], { cwd: root, exclude }).toSorted()) {
    const file = path.join(root, name);
    if (!statSync(file).isFile() || /[._]test\.(ts|go)$/.test(name)) continue;
    hash.update(`${name}\0`).update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex').slice(0, 16);
}

/** Where the image of these sources is, once it has been built: a cache outside the tree. */
export const imagePath = (image: ImageName): string =>
  path.join(cache, `${image}-${sourcesHash(image)}.tar`);

const isThere = (program: string, argument: string): boolean =>
  spawnSync(program, [argument], { stdio: 'ignore' }).error === undefined;

/** Why the images cannot be built here; undefined where they can. */
function buildObstacle(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it needs root on Linux';
  const missing = ['buildah', 'debootstrap', 'npm', 'go'].find((one) => !isThere(one, '--version'));
  return missing && `there is no ${missing}: apt-get install buildah debootstrap npm golang-go`;
}

/** Why a test has no images; undefined where it has. */
export const imagesObstacle = (): string | undefined =>
  IMAGE_NAMES.every((image) => existsSync(imagePath(image)))
    ? undefined
    : `its images are not built: ${buildObstacle() ?? 'npm run images:build'}`;

const TRUSTED = 'etc/ssl/certs/ca-certificates.crt';

/** What both bases have in common, and how npm finds its registry: as this machine does. */
function makeDebian(): string {
  const target = path.join(cache, `debian-node-${process.versions.node}`);
  if (existsSync(target)) return target;
  const part = `${target}.${process.pid}`;
  const packages = '--include=ca-certificates';
  execFileSync('debootstrap', ['--variant=minbase', packages, 'bookworm', part], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  for (const waste of globSync('var/{cache/apt/archives,lib/apt/lists}/*', { cwd: part }))
    rmSync(path.join(part, waste), { recursive: true });
  cpSync(path.join('/', TRUSTED), path.join(part, TRUSTED), { dereference: true });
  const local = path.join(part, 'usr/local');
  cpSync(process.execPath, path.join(local, 'bin/node'), { dereference: true });
  const modules = execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim();
  cpSync(path.join(modules, 'npm'), path.join(local, 'lib/node_modules/npm'), { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', path.join(local, 'bin/npm'));
  mkdirSync(path.join(local, 'etc'), { recursive: true });
  writeFileSync(path.join(local, 'etc/npmrc'), `cafile=/${TRUSTED}\n`);
  renameSync(part, target);
  return target;
}

const PATH = '/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Builds in a store of its own, which goes with it. */
function build(images: readonly ImageName[]): void {
  const debian = makeDebian();
  const folder = mkdtempSync(path.join(os.tmpdir(), 'majorana-images-'));
  const store = [`--root=${folder}/store`, `--runroot=${folder}/run`, '--storage-driver=overlay'];
  const buildah = (command: string, ...args: readonly string[]): string =>
    execFileSync('buildah', [...store, command, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: root,
    });
  const goroot = execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim();
  try {
    const base = path.join(folder, 'Containerfile');
    writeFileSync(base, `FROM scratch\nCOPY . /\nENV PATH=${PATH}\n`);
    const tags = images.map((image) => `--tag=${IMAGES[image].from}`);
    buildah('build', '--isolation=chroot', `--file=${base}`, ...tags, debian);
    for (const image of images) {
      const target = imagePath(image);
      const { name } = IMAGES[image];
      process.stdout.write(`building ${name}\n`);
      const go = `--volume=${goroot}:/usr/local/go:ro`;
      const how = ['--isolation=chroot', '--pull-never', go, `--file=${dockerfile(image)}`];
      buildah('build', ...how, `--tag=${name}`, '.');
      const part = `${target}.${process.pid}`;
      buildah('push', name, `docker-archive:${part}:docker.io/library/${name}`);
      removeOld(image);
      renameSync(part, target);
      process.stdout.write(`  ${target}, ${Math.round(statSync(target).size / 1e6)} MB\n`);
    }
  } finally {
    spawnSync('buildah', [...store, 'rmi', '--all', '--force'], { stdio: 'ignore' });
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Each change of a source makes another image of some 300 MB. */
const KEPT = 3;

function removeOld(image: ImageName): void {
  const files = globSync(`${image}-*.tar`, { cwd: cache }).map((name) => path.join(cache, name));
  const byAge = files.toSorted((one, other) => statSync(other).mtimeMs - statSync(one).mtimeMs);
  for (const file of byAge.slice(KEPT - 1)) rmSync(file, { force: true });
}

if (process.argv[1] === import.meta.filename) {
  const missing = IMAGE_NAMES.filter((image) => !existsSync(imagePath(image)));
  const obstacle = buildObstacle();
  mkdirSync(cache, { recursive: true });
  if (missing.length === 0) process.stdout.write(`all is there, in ${cache}\n`);
  else if (obstacle === undefined) build(missing);
  // The test that needs them is left out then, and says the same.
  else process.stdout.write(`the images are left out: ${obstacle}\n`);
}
