import type { SimulationOptions, SimulationReport } from './simulation.ts';
import { formatLine } from './trace.ts';

/** What many runs have come to. */
export class Tally {
  readonly #startedAtMs = performance.now();
  readonly failures: SimulationReport[] = [];
  readonly countsByKind = new Map<string, number>();
  seedCount = 0;
  stepCount = 0;
  runCount = 0;
  virtualMs = 0;

  add(report: SimulationReport): void {
    this.seedCount += 1;
    this.stepCount += report.stepCount;
    this.runCount += report.runCount;
    this.virtualMs += report.virtualMs;
    for (const [kind, count] of report.countsByKind) {
      this.countsByKind.set(kind, (this.countsByKind.get(kind) ?? 0) + count);
    }
    if (report.violation !== undefined) this.failures.push(report);
  }

  get seconds(): number {
    return (performance.now() - this.#startedAtMs) / 1000;
  }
}

/** What went wrong, what led to it, and how to see it again. */
export function formatReport(
  { seed, violation, lastLines, fingerprint }: SimulationReport,
  { taskCount, agentCount }: Pick<SimulationOptions, 'taskCount' | 'agentCount'>,
): string {
  if (violation === undefined) return `seed ${seed}: nothing wrong, trace ${fingerprint}`;
  const { rule, about, text, atMs, step } = violation;
  const size =
    (taskCount === undefined ? '' : ` --tasks ${taskCount}`) +
    (agentCount === undefined ? '' : ` --agents ${agentCount}`);
  return [
    `seed ${seed}: ${rule}: ${about} ${text}`,
    `  at ${(atMs / 1000).toFixed(3)} s, step ${step}, trace ${fingerprint}`,
    ...lastLines.map((line) => `  ${formatLine(line)}`),
    `  again: npm run simulate -- --from ${seed} --seeds 1${size} --trace`,
  ].join('\n');
}

export function formatSummary(tally: Tally): string {
  const { seedCount, stepCount, runCount, virtualMs, seconds, failures, countsByKind } = tally;
  const faults = [...countsByKind]
    .filter(([kind]) => kind.startsWith('fault.'))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [
    `${seedCount} seeds in ${seconds.toFixed(1)} s (${(seedCount / seconds).toFixed(1)} a second): ` +
      `${stepCount} steps, ${runCount} programs run, ${(virtualMs / 3_600_000).toFixed(1)} virtual hours`,
    'faults:',
    ...faults.map(
      ([kind, count]) => `  ${String(count).padStart(9)}  ${kind.slice('fault.'.length)}`,
    ),
    failures.length === 0
      ? 'no invariant was broken'
      : `broken in ${failures.length} seeds: ${failures.map((report) => report.seed).join(', ')}`,
  ].join('\n');
}
