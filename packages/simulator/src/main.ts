import { parseArgs } from 'node:util';
import { formatReport, formatSummary, Tally } from './report.ts';
import type { SimulationOptions } from './simulation.ts';
import { simulate } from './simulation.ts';
import { formatLine } from './trace.ts';

const PROGRESS_EVERY_MS = 2000;

const number = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Number(text);

function readOptions(): {
  readonly from: number;
  readonly count: number;
  readonly isTraced: boolean;
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
    },
  });
  return {
    from: Number(values.from),
    count: Number(values.seeds),
    isTraced: values.trace,
    failuresMax: Number(values.failures),
    size: { taskCount: number(values.tasks), agentCount: number(values.agents) },
  };
}

const { from, count, isTraced, failuresMax, size } = readOptions();
const tally = new Tally();
let toldAtMs = performance.now();
for (let seed = from; seed < from + count && tally.failures.length < failuresMax; seed += 1) {
  const report = await simulate({
    seed,
    ...size,
    ...(isTraced ? { onTrace: (line) => process.stdout.write(`${formatLine(line)}\n`) } : {}),
  });
  tally.add(report);
  if (report.violation !== undefined) process.stdout.write(`${formatReport(report, size)}\n`);
  if (performance.now() - toldAtMs > PROGRESS_EVERY_MS) {
    toldAtMs = performance.now();
    process.stderr.write(
      `\r${tally.seedCount} of ${count} seeds, ${tally.failures.length} failed `,
    );
  }
}
process.stderr.write('\r');
process.stdout.write(`${formatSummary(tally)}\n`);
process.exitCode = tally.failures.length === 0 ? 0 : 1;
