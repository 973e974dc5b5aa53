import type { JobSpecInput } from '@majorana/protocol';
import type { Command } from 'commander';
import { collect, numberIn } from '../command.ts';
import { CliError } from '../output.ts';
import { parsePairs } from './quantities.ts';

type Container = NonNullable<JobSpecInput['container']>;
type Mount = NonNullable<Container['mounts']>[number];
type Toleration = NonNullable<Container['tolerations']>[number];

export interface ContainerOptions {
  readonly image?: string;
  readonly cluster?: string;
  readonly nodeSelector: readonly string[];
  readonly toleration: readonly string[];
  readonly mount: readonly string[];
  readonly hostNetwork?: boolean;
  readonly dnsPolicy?: Container['dnsPolicy'];
  readonly readOnlyRoot?: boolean;
  readonly nodes?: number;
  readonly ranksPerNode?: number;
}

export function addContainerOptions(command: Command): Command {
  return command
    .option('--image <image>', 'run in a container of this image, on a cluster')
    .option('--cluster <name>', 'only on this cluster')
    .option('--node-selector <label=value>', 'only on nodes with this label', collect, [])
    .option(
      '--toleration <key[=value][:effect]>',
      'also on nodes with this taint; "*" for any',
      collect,
      [],
    )
    .option(
      '--mount <what>',
      'pvc:CLAIM:/path, nfs:SERVER:/export:/path, config-map:NAME:/path, secret:NAME:/path, host:/on/node:/path; :rw at the end to write',
      collect,
      [],
    )
    .option('--host-network', "the node's own network")
    .option('--dns-policy <policy>', 'ClusterFirst, ClusterFirstWithHostNet or Default')
    .option('--read-only-root', 'nothing of the image can be written')
    .option(
      '--nodes <number>',
      'so many pods for each task, each with the resources asked for, started together; mpirun runs on all',
      numberIn(1, 1024),
    )
    .option(
      '--ranks-per-node <number>',
      'processes that mpirun starts on each; default 1',
      numberIn(1, 1024),
    );
}

/** `key`, `key=value`, each with `:effect`. */
export function parseToleration(text: string): Toleration {
  const [, name = '', value, effect] = /^([^=:]+)(?:=([^:]*))?(?::(\w+))?$/.exec(text) ?? [];
  if (name === '')
    throw new CliError(`--toleration ${text}: KEY, KEY=VALUE or either with :EFFECT is expected`);
  return {
    key: name === '*' ? '' : name,
    operator: value === undefined ? 'Exists' : 'Equal',
    ...(value !== undefined && { value }),
    ...(effect !== undefined && { effect: effect as NonNullable<Toleration['effect']> }),
  };
}

const MOUNT_FORMS =
  'pvc:CLAIM:/path, nfs:SERVER:/export:/path, config-map:NAME:/path, secret:NAME:/path or host:/on/node:/path';

export function parseMount(text: string): Mount {
  const isReadOnly = !text.endsWith(':rw');
  const [kind, ...parts] = text.replace(/:r[ow]$/, '').split(':');
  const [first = '', second = '', third] = parts;
  const refuse = (): never => {
    throw new CliError(`--mount ${text}: ${MOUNT_FORMS} is expected, with :rw to write`);
  };
  if (kind === 'nfs') {
    // An address of IPv6 has colons of its own.
    const mountPath = parts.at(-1) ?? '';
    const path = parts.at(-2) ?? '';
    const server = parts.slice(0, -2).join(':');
    return server === '' ? refuse() : { kind, server, path, mountPath, isReadOnly };
  }
  if (third !== undefined || first === '' || second === '') return refuse();
  if (kind === 'pvc') return { kind, claim: first, mountPath: second, isReadOnly };
  if (kind === 'host') return { kind: 'hostPath', path: first, mountPath: second, isReadOnly };
  if (kind === 'config-map')
    return { kind: 'configMap', name: first, mountPath: second, isReadOnly };
  if (kind === 'secret') return { kind, name: first, mountPath: second, isReadOnly };
  return refuse();
}

export function readGang({
  image,
  nodes,
  ranksPerNode,
}: Pick<ContainerOptions, 'image' | 'nodes' | 'ranksPerNode'>): JobSpecInput['gang'] {
  if (nodes === undefined && ranksPerNode === undefined) return undefined;
  if (image === undefined) throw new CliError('--nodes and --ranks-per-node need --image');
  if (nodes === undefined) throw new CliError('--ranks-per-node needs --nodes');
  return { nodes, ...(ranksPerNode !== undefined && { ranksPerNode }) };
}

/** What only a container can have is refused without an image. */
export function readContainer(options: ContainerOptions): Container | undefined {
  const { image, nodeSelector, toleration, mount, hostNetwork, dnsPolicy, readOnlyRoot } = options;
  const others = [...nodeSelector, ...toleration, ...mount].length > 0;
  if (image === undefined) {
    if (others || hostNetwork || dnsPolicy !== undefined || readOnlyRoot)
      throw new CliError('node selectors, tolerations, mounts, network and DNS need --image');
    return undefined;
  }
  return {
    image,
    nodeSelector: parsePairs('--node-selector', nodeSelector),
    tolerations: toleration.map(parseToleration),
    mounts: mount.map(parseMount),
    hasHostNetwork: hostNetwork === true,
    ...(dnsPolicy !== undefined && { dnsPolicy }),
    isRootReadOnly: readOnlyRoot === true,
  };
}
