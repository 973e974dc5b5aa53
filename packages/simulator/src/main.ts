import { parseArgs } from 'node:util';
import { formatReport, formatSummary, Tally } from './report.ts';
import type { SimulationOptions } from './simulation.ts';
import { simulate } from './simulation.ts';
import type { TraceLine } from './trace.ts';
import { formatLine } from './trace.ts';
import { wrongWithResumed, wrongWithRuns } from './workflows/simulate-workflow.ts';

const PROGRESS_EVERY_MS = 2000;

const number = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Number(text);

function readOptions(): {
  readonly from: number;
  readonly count: number;
  readonly isTraced: boolean;
  readonly isOfWorkflows: boolean;
  readonly failuresMax: number;
  readonly size: Pick<SimulationOptions, 'taskCount' | 'agentCount'>;
} {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '100' },
      from: { type: 'string', default: '1' },
      tasks: { type: 'string' },
      agents: { type: 'string' },
      failures: { type: 'string', default: '10' },
      trace: { type: 'boolean', default: false },
      workflows: { type: 'boolean', default: false },
    },
  });
  return {
    from: Number(values.from),
    count: Number(values.seeds),
    isTraced: values.trace,
    isOfWorkflows: values.workflows,
    failuresMax: Number(values.failures),
    size: { taskCount: number(values.tasks), agentCount: number(values.agents) },
  };
}

const { from, count, isTraced, isOfWorkflows, failuresMax, size } = readOptions();
const onTrace = (line: TraceLine): void => void process.stdout.write(`${formatLine(line)}\n`);
const traced = isTraced ? { onTrace } : {};

/** Says how far it is, now and then. */
function teller(): (doneCount: number, failedCount: number) => void {
  let toldAtMs = performance.now();
  return (doneCount, failedCount) => {
    if (performance.now() - toldAtMs < PROGRESS_EVERY_MS) return;
    toldAtMs = performance.now();
    process.stderr.write(`\r${doneCount} of ${count} seeds, ${failedCount} failed `);
  };
}

async function simulateJobs(): Promise<boolean> {
  const tally = new Tally();
  const tell = teller();
  for (let seed = from; seed < from + count && tally.failures.length < failuresMax; seed += 1) {
    const report = await simulate({ seed, ...size, ...traced });
    tally.add(report);
    if (report.violation !== undefined) process.stdout.write(`${formatReport(report, size)}\n`);
    tell(tally.seedCount, tally.failures.length);
  }
  process.stderr.write('\r');
  process.stdout.write(`${formatSummary(tally)}\n`);
  return tally.failures.length === 0;
}

async function simulateRuns(): Promise<boolean> {
  const tell = teller();
  let failedCount = 0;
  let seed = from;
  for (; seed < from + count && failedCount < failuresMax; seed += 1) {
    const why = (await wrongWithRuns(seed, traced)) ?? (await wrongWithResumed(seed, traced));
    if (why !== undefined) {
      failedCount += 1;
      process.stdout.write(`${why}\n`);
    }
    tell(seed - from + 1, failedCount);
  }
  process.stderr.write('\r');
  process.stdout.write(`${seed - from} seeds of workflows, ${failedCount} failed\n`);
  return failedCount === 0;
}

process.exitCode = (await (isOfWorkflows ? simulateRuns() : simulateJobs())) ? 0 : 1;
