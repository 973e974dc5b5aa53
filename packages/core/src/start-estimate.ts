/** What one open job of the same agents says about when a task will start. */
export interface LineJob {
  readonly queue: string;
  readonly weight: number;
  /** Of all there is, what one of its tasks takes: its dominant share. */
  readonly share: number;
  readonly heldCount: number;
  /** Whether tasks of it wait for room. */
  readonly isWaiting: boolean;
  /** Waiting tasks of it that go before the one asked about; only of its own queue. */
  readonly aheadCount: number;
  /** From lease to end; absent: none has ended yet. */
  readonly meanHeldMs?: number;
  /** From lease to the start of the program. */
  readonly meanStartMs?: number;
}

export interface StartEstimate {
  readonly waitMs: number;
  readonly aheadCount: number;
  /** At which those ahead start, on average until then. */
  readonly startsPerSecond: number;
}

const sum = <T>(list: readonly T[], of: (one: T) => number): number =>
  list.reduce((total, one) => total + of(one), 0);

/** Weighted by how much of the cluster each job holds; undefined while no task has ended. */
function meanOf(jobs: readonly LineJob[], key: 'meanHeldMs' | 'meanStartMs'): number | undefined {
  const known = jobs.filter((job) => job[key] !== undefined);
  if (known.length === 0) return undefined;
  // One that holds nothing now still says more than nothing.
  const weightOf = (job: LineJob): number => Math.max(job.heldCount, 0.01) * job.share;
  return sum(known, (job) => weightOf(job) * job[key]!) / sum(known, weightOf);
}

/** What a queue may hold at once by fair share, of what all hold now. */
function fairPart(jobs: readonly LineJob[], queue: string): number {
  const weights = new Map<string, number>();
  for (const job of jobs)
    if (job.isWaiting || job.queue === queue) weights.set(job.queue, job.weight);
  return (weights.get(queue) ?? 1) / sum([...weights.values()], (weight) => weight);
}

/** Of the mean of what runs: a task larger than this waits until nodes are kept for it. */
const LARGE = 2;

const isLarge = (jobs: readonly LineJob[], { share, heldCount }: LineJob, held: number): boolean =>
  heldCount === 0 && share > (LARGE * held) / sum(jobs, (job) => job.heldCount);

/**
 * When the task behind these would start, by Little's law: what is held is started anew every mean
 * held time. A queue below its fair share gets all that is freed until it has it, one above gets
 * nothing until it has come down to it, and from then on each gets its share. `jobs` are those that
 * compete for the same agents, less those that a limit of their own keeps from competing; `own` is
 * the job of the task, and one of them. Undefined while nothing runs or nothing has ended: there is
 * nothing to judge by; and of what is much larger than all that runs.
 */
export function estimateStart(jobs: readonly LineJob[], own: LineJob): StartEstimate | undefined {
  const heldOf = (list: readonly LineJob[]): number =>
    sum(list, (job) => job.heldCount * job.share);
  const held = heldOf(jobs);
  const meanMs = meanOf(jobs, 'meanHeldMs');
  if (held <= 0 || meanMs === undefined || meanMs <= 0) return undefined;
  if (isLarge(jobs, own, held)) return undefined;
  const inQueue = jobs.filter((job) => job.queue === own.queue);
  // In shares of tasks as long as the mean: a longer one holds its place for longer.
  const workOf = (job: LineJob, count: number): number =>
    (count * job.share * (job.meanHeldMs ?? meanMs)) / meanMs;
  const ahead = sum(inQueue, (job) => workOf(job, job.aheadCount)) + own.share;
  // A queue that holds nothing goes next, however small its weight: it holds one task at any time.
  const part = Math.min(1, Math.max(fairPart(jobs, own.queue), own.share / held));
  const lacking = held * part - heldOf(inQueue);
  const perMs = held / meanMs;
  const atFirst = Math.min(ahead, Math.max(0, lacking));
  const untilFairMs = part < 1 && lacking < 0 ? -lacking / (perMs * (1 - part)) : 0;
  const queuedMs = untilFairMs + atFirst / perMs + (ahead - atFirst) / (perMs * part);
  const startMs = own.meanStartMs ?? meanOf(jobs, 'meanStartMs') ?? 0;
  const aheadCount = sum(inQueue, (job) => job.aheadCount);
  return {
    waitMs: queuedMs + startMs,
    aheadCount,
    startsPerSecond: ((aheadCount + 1) * 1000) / queuedMs,
  };
}

const UNITS = [
  { name: 's', ms: 1000, max: 90 },
  { name: 'min', ms: 60_000, max: 90 },
  { name: 'h', ms: 3_600_000, max: 48 },
  { name: 'days', ms: 86_400_000, max: Infinity },
] as const;

/** As exact as an estimate is. */
export function roughly(ms: number): string {
  const unit = UNITS.find(({ ms: size, max }) => ms < size * max)!;
  return `${Math.max(1, Math.round(ms / unit.ms))} ${unit.name}`;
}

const rate = (perSecond: number): string => {
  const [count, unit] =
    perSecond >= 1
      ? [perSecond, 'a second']
      : perSecond * 60 >= 1
        ? [perSecond * 60, 'a minute']
        : [perSecond * 3600, 'an hour'];
  const digits = count < 10 ? 1 : 0;
  return `${Number(count.toFixed(digits)).toLocaleString('en-US')} ${unit} start`;
};

/** "about 4 min: 1,200 tasks go first, 5 a second start" */
export function formatStartEstimate({
  waitMs,
  aheadCount,
  startsPerSecond,
}: StartEstimate): string {
  const first =
    aheadCount === 0
      ? 'it is the next'
      : `${aheadCount.toLocaleString('en-US')} ${aheadCount === 1 ? 'task goes' : 'tasks go'} first`;
  return `about ${roughly(waitMs)}: ${first}, ${rate(startsPerSecond)}`;
}
