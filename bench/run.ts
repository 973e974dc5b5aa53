import { readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { brokerFigures } from './broker.ts';
import { engineFigures } from './engine.ts';
import type { Figure } from './figure.ts';
import { kubernetesFigures } from './kubernetes.ts';
import { millionFigures } from './million.ts';
import { placementFigures } from './placement.ts';
import { productFigures } from './product.ts';
import { wfFormatFigures } from './wfformat.ts';
import { workflowFigures } from './workflow.ts';

/** `npm run bench [SECTION…]`: measures, prints, and writes the sections into bench/RESULTS.md. */
const SECTIONS: Readonly<Record<string, () => Promise<Figure[]>>> = {
  product: productFigures,
  engine: engineFigures,
  million: millionFigures,
  kubernetes: kubernetesFigures,
  broker: brokerFigures,
  placement: placementFigures,
  workflow: workflowFigures,
  wfformat: wfFormatFigures,
};
const file = new URL('RESULTS.md', import.meta.url);

function table(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, beside }) => `| ${name} | ${value} | ${beside} |`);
  return ['| what | measured | beside |', '| --- | --- | --- |', ...rows].join('\n');
}

/** A section's text goes between its two comments; the others stay as they are. */
function write(name: string, text: string): void {
  const whole = readFileSync(file, 'utf8');
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const from = whole.indexOf(begin);
  const to = whole.indexOf(end);
  if (from < 0 || to < from) throw new Error(`bench/RESULTS.md has no place for ${name}`);
  writeFileSync(file, `${whole.slice(0, from)}${begin}\n\n${text}\n\n${whole.slice(to)}`);
}

const chosen = process.argv.slice(2);
for (const [name, measure] of Object.entries(SECTIONS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const figures = await measure();
  // What needs files that are not here keeps the figures it has.
  if (figures.length === 0) continue;
  const day = new Date().toISOString().slice(0, 10);
  const machine = `${os.availableParallelism()} cores, ${Math.round(os.totalmem() / 2 ** 30)} GiB, Linux ${os.release().replace(/-.*/, '')}, Node ${process.versions.node}`;
  process.stdout.write(`${name}\n${table(figures)}\n\n`);
  write(
    name,
    `${day}; ${machine}; load before the run was ${os.loadavg()[2]!.toFixed(1)} over 15 minutes.\n\n${table(figures)}`,
  );
}
