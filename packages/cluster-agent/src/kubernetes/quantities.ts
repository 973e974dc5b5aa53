import type { Resources } from '@majorana/core';
import { NO_RESOURCES } from '@majorana/core';
import type { Pod, Quantities } from './objects.ts';

const FACTORS: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A quantity of Kubernetes: `250m`, `1.5Gi`, `12e6`. What it is not counts as nothing. */
export function parseQuantity(text: string | undefined): number {
  const [, digits, exponent, suffix = ''] =
    /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([a-zA-Z]{0,2}))$/.exec(text?.trim() ?? '') ?? [];
  if (digits === undefined) return 0;
  if (exponent !== undefined) return Number(digits + exponent);
  return Number(digits) * (FACTORS[suffix] ?? 0);
}

/** As Kubernetes rounds; the product of 1.1 and 1000 is a little above 1100 and means that. */
const upToWhole = (amount: number): number => Math.max(0, Math.ceil(amount - 1e-6));

/** Names of the resources that Kubernetes itself knows; any other is an extended one. */
const COMMON = new Set(['cpu', 'memory', 'ephemeral-storage', 'pods']);

/** What a countable of a job may be: none that is counted by another field. */
const isExtended = (name: string, { gpu }: ResourceNames): boolean =>
  !COMMON.has(name) && name !== gpu;

const HUGE = 'hugepages-';
/** Of huge pages Kubernetes counts the bytes, and takes whole pages only; a job’s are pages. */
const unitOf = (name: string): number =>
  (name.startsWith(HUGE) && parseQuantity(name.slice(HUGE.length))) || 1;
/** Each node names the sizes that it could have, and nearly none has any. */
const isNone = (name: string, amount: string): boolean =>
  name.startsWith(HUGE) && parseQuantity(amount) === 0;

export interface ResourceNames {
  /** The extended resource that `gpuCount` stands for, such as nvidia.com/gpu. */
  readonly gpu: string;
}

export function readResources(quantities: Quantities, names: ResourceNames): Resources {
  const countable: Record<string, number> = {};
  for (const [name, amount] of Object.entries(quantities)) {
    if (isExtended(name, names) && !isNone(name, amount))
      countable[name] = parseQuantity(amount) / unitOf(name);
  }
  return {
    cpuMillis: upToWhole(parseQuantity(quantities['cpu']) * 1000),
    memoryBytes: upToWhole(parseQuantity(quantities['memory'])),
    scratchBytes: upToWhole(parseQuantity(quantities['ephemeral-storage'])),
    shmBytes: 0,
    gpuCount: parseQuantity(quantities[names.gpu]),
    countable,
  };
}

/** What a container asks for. */
export function writeResources(resources: Resources, names: ResourceNames): Record<string, string> {
  const { cpuMillis, memoryBytes, scratchBytes, gpuCount, countable } = resources;
  return {
    cpu: `${cpuMillis}m`,
    memory: String(memoryBytes),
    ...(scratchBytes > 0 && { 'ephemeral-storage': String(scratchBytes) }),
    ...(gpuCount > 0 && { [names.gpu]: String(gpuCount) }),
    ...Object.fromEntries(
      Object.entries(countable)
        .filter(([name]) => isExtended(name, names))
        .map(([name, count]) => [name, String(count * unitOf(name))]),
    ),
  };
}

function merge(a: Quantities, b: Quantities, choose: (x: number, y: number) => number): Quantities {
  const merged: Record<string, string> = { ...a };
  for (const [name, amount] of Object.entries(b))
    merged[name] = String(choose(parseQuantity(merged[name]), parseQuantity(amount)));
  return merged;
}

const sum = (a: Quantities, b: Quantities): Quantities => merge(a, b, (x, y) => x + y);

const larger = (a: Quantities, b: Quantities): Quantities => merge(a, b, Math.max);

interface Holding {
  readonly resources?: { readonly requests?: Quantities };
  readonly allocatedResources?: Quantities;
}

/** While a resize is under way its node keeps the larger of what is asked for and what it gave. */
function requestsOf(asked: Holding, given: Holding | undefined): Quantities {
  const requests = asked.resources?.requests ?? {};
  if (given === undefined) return requests;
  return larger(larger(requests, given.resources?.requests ?? {}), given.allocatedResources ?? {});
}

const namesake = <T extends { readonly name: string }>(
  list: readonly T[] = [],
  name: string | undefined,
): T | undefined => list.find((one) => one.name === name);

/**
 * The larger of a pod's containers together and each init container, with those that stay counted to
 * both.
 */
function containersRequests({ spec, status }: Pod): Quantities {
  const { containers, initContainers = [] } = spec;
  let running = containers.reduce<Quantities>(
    (total, one) => sum(total, requestsOf(one, namesake(status?.containerStatuses, one.name))),
    {},
  );
  let staying: Quantities = {};
  let starting: Quantities = {};
  for (const one of initContainers) {
    const requests = requestsOf(one, namesake(status?.initContainerStatuses, one.name));
    if (one.restartPolicy === 'Always') staying = sum(staying, requests);
    else starting = larger(starting, sum(staying, requests));
  }
  running = sum(running, staying);
  return larger(running, starting);
}

/** What a pod takes of its node, as kube-scheduler counts it. */
export function podRequests(pod: Pod, names: ResourceNames): Resources {
  const whole = requestsOf(pod.spec, pod.spec.resources && pod.status);
  const total = sum({ ...containersRequests(pod), ...whole }, pod.spec.overhead ?? {});
  return Object.keys(total).length === 0 ? NO_RESOURCES : readResources(total, names);
}
