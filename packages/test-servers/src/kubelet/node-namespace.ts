import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { until } from '@majorana/testing';
import type { Keeper } from '../keeper.ts';
import { run } from './run.ts';

/** What a node writes to beside its own folder; in the namespace each is empty and its own. */
const PRIVATE_FOLDERS = ['/run', '/var/lib', '/var/log'];

/**
 * Processes, mounts and network of one node. When its first process ends, the kernel ends every
 * other in it and takes back mounts, links and rules: there is nothing to clean up by name.
 */
export interface NodeNamespace {
  /** This machine, as the node sees it. */
  readonly hostAddress: string;
  readonly nodeAddress: string;
  /** A program and its arguments, to be run inside; it dies with whoever runs it. */
  readonly inside: (program: string, args: readonly string[]) => [string, string[]];
  readonly run: (program: string, args: readonly string[]) => Promise<string>;
}

/** This machine is reached at the address that it has for another node too. */
const NODES = '10.213.0.0/16';
/** Each node has four of these addresses. */
const SUBNETS_MAX = 2 ** 14;

interface Subnet {
  readonly hostAddress: string;
  readonly nodeAddress: string;
}

function subnetAt(at: number): Subnet {
  const prefix = `10.213.${Math.floor(at / 64)}`;
  const base = (at % 64) * 4;
  return { hostAddress: `${prefix}.${base + 1}`, nodeAddress: `${prefix}.${base + 2}` };
}

export async function createNodeNamespace(keeper: Keeper, pause: string): Promise<NodeNamespace> {
  const options = ['--pid', '--mount', '--net', '--fork', '--kill-child'];
  const args = [...options, '--propagation', 'private', '--mount-proc', '--', pause];
  const outer = spawn('unshare', args, { detached: true, stdio: ['ignore', 'ignore', 'inherit'] });
  const { pid } = outer;
  if (pid === undefined) throw new Error('unshare could not be started');
  keeper.keepProcess(pid);
  const first = await until('the first process of the namespace', async () => {
    const child = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim();
    // Until it has become the pause program, its mounts are not those of the namespace.
    const name = child === '' ? '' : await readFile(`/proc/${child}/comm`, 'utf8').catch(() => '');
    return name.trim() === 'pause' && child;
  });
  const inside = (program: string, rest: readonly string[]): [string, string[]] => {
    const enter = ['--target', first, '--pid', '--mount', '--net', '--'];
    return ['nsenter', [...enter, 'setpriv', '--pdeathsig', 'KILL', program, ...rest]];
  };
  const runInside = (...what: Parameters<typeof inside>): Promise<string> =>
    run(...inside(...what));
  for (const folder of PRIVATE_FOLDERS) {
    await runInside('mount', ['-t', 'tmpfs', 'tmpfs', folder]);
  }
  const { hostAddress, nodeAddress, link } = await addLink(first);
  await run('ip', ['address', 'add', `${hostAddress}/30`, 'dev', link]);
  await run('ip', ['link', 'set', link, 'up']);
  await runInside('ip', ['address', 'add', `${nodeAddress}/30`, 'dev', 'eth0']);
  await runInside('ip', ['link', 'set', 'eth0', 'up']);
  await runInside('ip', ['link', 'set', 'lo', 'up']);
  await runInside('ip', ['route', 'add', NODES, 'via', hostAddress]);
  return { hostAddress, nodeAddress, inside, run: runInside };
}

/**
 * A link between this machine and the node; without an address of its own it has no logs to give.
 * It is named after its addresses: of two tests that reach for the same, the kernel lets one have it.
 */
async function addLink(first: string): Promise<Subnet & { readonly link: string }> {
  const taken = Object.values(networkInterfaces()).flatMap((links) =>
    (links ?? []).map(({ address }) => address),
  );
  for (let at = 0; at < SUBNETS_MAX; at += 1) {
    const subnet = subnetAt(at);
    const link = `majorana-${at}`;
    if (taken.includes(subnet.hostAddress)) continue;
    const peer = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', first];
    const isAdded = await run('ip', ['link', 'add', link, ...peer]).then(
      () => true,
      (error: Error) => {
        if (error.message.includes('File exists')) return false;
        throw error;
      },
    );
    if (isAdded) return { ...subnet, link };
  }
  throw new Error(`all of ${NODES} is taken`);
}
