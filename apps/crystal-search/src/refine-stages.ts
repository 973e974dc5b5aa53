import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { choice, need, numberOf, say, wholeOf, type Values } from './arguments.ts';
import { CLUSTER_DEFAULTS } from './cluster.ts';
import { readMolecules, readStage, writeStage } from './files.ts';
import { AXIS_MIN_ANGSTROM, refineMerge, refineOne, refinePlan } from './refine.ts';
import { METHOD_NAMES, RELAX_KINDS } from './refine-methods.ts';
import { line } from './stages.ts';

const PACKINGS = 'crystal-search/packings/1';

export function refinePlanStage(paths: readonly string[], out: string, values: Values): number {
  const file = readStage(need(paths, 1, 'refine-plan')[0]!, PACKINGS);
  const window = numberOf(values, 'window', CLUSTER_DEFAULTS.windowKjPerMol);
  const plan = refinePlan(file, wholeOf(values, 'top', 5), window);
  writeFileSync(out, `${plan.join('\n')}\n`);
  say(`the free molecule and ${plan.length - 1} of ${file.packings.length} packings`);
  return plan.length;
}

/**
 * Where restart files go. A platform that carries a folder from one attempt to the next names it
 * in MAJORANA_CHECKPOINT; without, they lie beside the result.
 */
function checkpointBase(values: Values, out: string): string {
  return values.checkpoint ?? process.env['MAJORANA_CHECKPOINT'] ?? dirname(out);
}

export function refineOneStage(paths: readonly string[], out: string, values: Values): number {
  const [moleculePath, packingsPath, planLine] = need(paths, 3, 'refine-one');
  const { refined, resumedFromStep } = refineOne(
    readMolecules(moleculePath!),
    readStage(packingsPath!, PACKINGS),
    planLine!,
    {
      method: choice(values.method, [...METHOD_NAMES, 'auto', 'none'], 'auto'),
      relax: choice(values.relax, RELAX_KINDS, 'none'),
      axisMinAngstrom: numberOf(values, 'axis-min', AXIS_MIN_ANGSTROM, 1),
      checkpointFolder: resolve(checkpointBase(values, out)),
    },
  );
  writeStage(out, refined);
  if (resumedFromStep !== undefined) say(`went on from step ${resumedFromStep}`);
  const done = `${refined.energyKjPerMol} kJ/mol, ${refined.steps} steps, ${refined.method}`;
  say(`${planLine}: ${refined.problem ?? done}`);
  return 1;
}

export function refineMergeStage(paths: readonly string[], out: string): number {
  const [packingsPath, planPath, ...rest] = need(paths, 2, 'refine-merge');
  const plan = readFileSync(planPath!, 'utf8').trim().split('\n');
  const results = rest.map((path) => readStage(path, 'crystal-search/refined/1'));
  const merged = refineMerge(readStage(packingsPath!, PACKINGS), plan, results);
  writeStage(out, merged);
  say(merged.refinement ?? '');
  const refined = merged.packings.filter((packing) => packing.refined);
  for (const packing of refined.toSorted((a, b) => a.refined!.rank - b.refined!.rank)) {
    const { rank, aboveMinimumKjPerMol, energyKjPerMol } = packing.refined!;
    say(`${rank} (+${aboveMinimumKjPerMol}, ${energyKjPerMol} kJ/mol), before ${line(packing)}`);
  }
  return results.length;
}
