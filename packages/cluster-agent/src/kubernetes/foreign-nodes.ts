import type { Taint } from '@majorana/core';
import type { KubernetesNode } from './objects.ts';

const OS_LABEL = 'kubernetes.io/os';
export const ARCHITECTURE_LABEL = 'kubernetes.io/arch';
/** What an image is made for, unless its task says otherwise. */
const COMMON = 'amd64';

interface Machine {
  readonly os: string;
  readonly architecture: string;
}

/** A node without these labels is no kubelet's; it is taken for what nearly all are. */
const machineOf = ({ metadata: { labels = {} } }: KubernetesNode): Machine => ({
  os: labels[OS_LABEL] ?? 'linux',
  architecture: labels[ARCHITECTURE_LABEL] ?? COMMON,
});

const repelling = (key: string, value: string): Taint => ({
  key,
  value,
  effect: 'NoSchedule',
  isFact: true,
});

/**
 * Nodes that cannot run what tasks usually bring: told as taints that no toleration of a job covers,
 * in the words that some clouds use themselves. Windows runs none of our pods. Another architecture than amd64 is foreign where there
 * are nodes of both; a cluster of one has its images for that.
 */
export class ForeignNodes {
  readonly #machines = new Map<string, Machine>();
  #commonCount = 0;

  /** Whether other nodes are now to be looked at anew. */
  set(node: KubernetesNode): boolean {
    const hadCommon = this.#commonCount > 0;
    this.#forget(node.metadata.name);
    const machine = machineOf(node);
    this.#machines.set(node.metadata.name, machine);
    if (isCommon(machine)) this.#commonCount += 1;
    return hadCommon !== this.#commonCount > 0;
  }

  remove(name: string): boolean {
    const hadCommon = this.#commonCount > 0;
    this.#forget(name);
    return hadCommon !== this.#commonCount > 0;
  }

  #forget(name: string): void {
    const machine = this.#machines.get(name);
    if (machine !== undefined && isCommon(machine)) this.#commonCount -= 1;
    this.#machines.delete(name);
  }

  taintOf(name: string): Taint | undefined {
    const machine = this.#machines.get(name);
    if (machine === undefined) return undefined;
    const { os, architecture } = machine;
    if (os !== 'linux') return repelling(OS_LABEL, os);
    const isForeign = architecture !== COMMON && this.#commonCount > 0;
    return isForeign ? repelling(ARCHITECTURE_LABEL, architecture) : undefined;
  }
}

const isCommon = ({ os, architecture }: Machine): boolean =>
  os === 'linux' && architecture === COMMON;
