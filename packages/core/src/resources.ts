/** What a task asks for, and what an agent has. */
export interface Resources {
  /** Thousandths of a core: 500 is half a core. */
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly scratchBytes: number;
  /** Size of /dev/shm, counted inside memory by the kernel, so it takes no capacity of its own. */
  readonly shmBytes: number;
  readonly gpuCount: number;
  /** Any other countable resource by name, such as licences. */
  readonly countable: Readonly<Record<string, number>>;
}

export const MEBIBYTE = 1024 * 1024;
export const GIBIBYTE = 1024 * MEBIBYTE;

/** One core and 2 GiB: the 1:2 shape of the platform's users. */
export const DEFAULT_RESOURCES: Resources = {
  cpuMillis: 1000,
  memoryBytes: 2 * GIBIBYTE,
  scratchBytes: 0,
  shmBytes: 64 * MEBIBYTE,
  gpuCount: 0,
  countable: {},
};

const isEmpty = (record: object): boolean => {
  for (const _ in record) return false;
  return true;
};

/** Most tasks ask for nothing countable, and then nothing is copied. */
function mergeCountable(
  a: Resources,
  b: Resources,
  sign: 1 | -1,
): Readonly<Record<string, number>> {
  if (isEmpty(b.countable)) return a.countable;
  const sum: Record<string, number> = { ...a.countable };
  for (const [name, count] of Object.entries(b.countable))
    sum[name] = (sum[name] ?? 0) + sign * count;
  return sum;
}

function combine(a: Resources, b: Resources, sign: 1 | -1): Resources {
  return {
    cpuMillis: a.cpuMillis + sign * b.cpuMillis,
    memoryBytes: a.memoryBytes + sign * b.memoryBytes,
    scratchBytes: a.scratchBytes + sign * b.scratchBytes,
    shmBytes: a.shmBytes,
    gpuCount: a.gpuCount + sign * b.gpuCount,
    countable: mergeCountable(a, b, sign),
  };
}

export const addResources = (a: Resources, b: Resources): Resources => combine(a, b, 1);
export const subtractResources = (a: Resources, b: Resources): Resources => combine(a, b, -1);

export const timesResources = (resources: Resources, count: number): Resources => ({
  cpuMillis: resources.cpuMillis * count,
  memoryBytes: resources.memoryBytes * count,
  scratchBytes: resources.scratchBytes * count,
  shmBytes: resources.shmBytes,
  gpuCount: resources.gpuCount * count,
  countable: Object.fromEntries(
    Object.entries(resources.countable).map(([name, amount]) => [name, amount * count]),
  ),
});

export interface Shortage {
  readonly resource: string;
  readonly requested: number;
  readonly available: number;
}

/** Every resource of which `available` has less than `requested`; empty when it fits. */
export function findShortages(requested: Resources, available: Resources): Shortage[] {
  const pairs: [string, number, number][] = [
    ['cpuMillis', requested.cpuMillis, available.cpuMillis],
    ['memoryBytes', requested.memoryBytes, available.memoryBytes],
    ['scratchBytes', requested.scratchBytes, available.scratchBytes],
    ['gpuCount', requested.gpuCount, available.gpuCount],
  ];
  for (const [name, count] of Object.entries(requested.countable)) {
    pairs.push([name, count, available.countable[name] ?? 0]);
  }
  return pairs
    .filter(([, want, have]) => want > have)
    .map(([resource, want, have]) => ({ resource, requested: want, available: have }));
}

/** Called for every group on every agent in each round: it allocates nothing. */
export function fits(requested: Resources, available: Resources): boolean {
  if (
    requested.cpuMillis > available.cpuMillis ||
    requested.memoryBytes > available.memoryBytes ||
    requested.scratchBytes > available.scratchBytes ||
    requested.gpuCount > available.gpuCount
  ) {
    return false;
  }
  for (const name in requested.countable) {
    if (requested.countable[name]! > (available.countable[name] ?? 0)) return false;
  }
  return true;
}

/** The largest part that `held` is of `total` in cores, memory, GPUs or anything with a name. */
export function dominantShare(held: Resources, total: Resources): number {
  const part = (have: number, of: number): number => (of > 0 ? have / of : 0);
  let share = Math.max(
    part(held.cpuMillis, total.cpuMillis),
    part(held.memoryBytes, total.memoryBytes),
    part(held.gpuCount, total.gpuCount),
  );
  for (const name in held.countable)
    share = Math.max(share, part(held.countable[name]!, total.countable[name] ?? 0));
  return share;
}

export const NO_RESOURCES: Resources = {
  cpuMillis: 0,
  memoryBytes: 0,
  scratchBytes: 0,
  shmBytes: 0,
  gpuCount: 0,
  countable: {},
};

const plural = (amount: number, noun: string): string =>
  `${amount} ${noun}${amount === 1 ? '' : 's'}`;

/** For a person: 500 thousandths are 0.5 cores, bytes are MiB or GiB, the rest is as it is. */
export function formatQuantity(resource: string, amount: number): string {
  if (resource === 'cpuMillis') return plural(amount / 1000, 'core');
  if (resource === 'gpuCount') return plural(amount, 'GPU');
  if (!resource.endsWith('Bytes')) return `${amount} ${resource}`;
  const label = resource.slice(0, -'Bytes'.length);
  return amount >= GIBIBYTE
    ? `${(amount / GIBIBYTE).toFixed(1)} GiB ${label}`
    : `${(amount / MEBIBYTE).toFixed(0)} MiB ${label}`;
}
