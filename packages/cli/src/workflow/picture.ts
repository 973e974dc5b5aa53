import type { JobView, RoundView, StepView } from '@majorana/protocol';
import type { WorkflowBody } from '@majorana/core';
import { isNested, parseReference, referencesOf } from '@majorana/core';
import { totals } from '../follow/progress.ts';
import { formatDuration } from '../output.ts';

/** Steps of one body in an order in which each comes after what it takes from. */
export function inOrder(body: WorkflowBody): string[] {
  const order: string[] = [];
  const visit = (name: string): void => {
    if (order.includes(name)) return;
    for (const upstream of upstreamOf(body, name)) visit(upstream);
    order.push(name);
  };
  for (const name of Object.keys(body.steps)) visit(name);
  return order;
}

export function upstreamOf(body: WorkflowBody, name: string): string[] {
  const names = referencesOf(body.steps[name]!).map((text) => parseReference(text).name);
  return [...new Set(names.filter((one) => Object.hasOwn(body.steps, one)))];
}

/** One line of the graph: rails of steps that others still take from, and the step at its end. */
export function railsOf(body: WorkflowBody): { readonly name: string; readonly rail: string }[] {
  const order = inOrder(body);
  const lastUse = new Map<string, number>();
  for (const [at, name] of order.entries()) {
    for (const upstream of upstreamOf(body, name)) lastUse.set(upstream, at);
  }
  const columns: (string | undefined)[] = [];
  return order.map((name, at) => {
    const upstream = upstreamOf(body, name);
    const taken = columns.map((one) => one !== undefined && upstream.includes(one));
    const first = taken.indexOf(true);
    const last = taken.lastIndexOf(true);
    let column = last + 1;
    while (columns[column] !== undefined) column += 1;
    let rail = '';
    for (let cell = 0; cell < column; cell += 1) {
      const isInLine = first >= 0 && cell >= first;
      const owner = columns[cell];
      const ends = owner !== undefined && taken[cell] === true && lastUse.get(owner) === at;
      rail += sign(owner !== undefined, taken[cell] === true, {
        ends,
        isInLine,
        isFirst: cell === first,
      });
      rail += isInLine ? '─' : ' ';
      if (ends) columns[cell] = undefined;
    }
    const after = columns.slice(column + 1).map((one) => (one === undefined ? '  ' : ' │'));
    if (lastUse.has(name)) columns[column] = name;
    return { name, rail: `${rail}●${after.join('')}`.trimEnd() };
  });
}

function sign(
  isRail: boolean,
  isTaken: boolean,
  at: { readonly ends: boolean; readonly isInLine: boolean; readonly isFirst: boolean },
): string {
  if (!isRail) return at.isInLine ? '─' : ' ';
  if (!isTaken) return at.isInLine ? '┼' : '│';
  if (at.isFirst) return at.ends ? '╰' : '├';
  return at.ends ? '┴' : '┼';
}

const COLOURS: Readonly<Record<string, number>> = {
  succeeded: 32,
  failed: 31,
  blocked: 33,
  cancelled: 33,
  skipped: 90,
  waiting: 90,
};
const paint = (status: string, text: string, hasColour: boolean): string =>
  hasColour ? `\u001B[${COLOURS[status] ?? 36}m${text}\u001B[0m` : text;

/** Jobs of the steps that run, by path: what is known of their tasks. */
export type StepJobs = ReadonlyMap<string, JobView>;

/** Of elements; when all have ended well their number has been told. */
function countsText({ countsByStatus, elementCount, path }: StepView): string {
  const counts = Object.entries(countsByStatus ?? {});
  const isTold = counts.length === 1 && elementCount > 1 && !path.includes('[*]');
  if (isTold && counts[0]![0] === 'succeeded') return '';
  return counts.map(([status, count]) => `${count} ${status}`).join(', ');
}

function detailsOf(step: StepView, job: JobView | undefined): string {
  const parts: string[] = [];
  if (job !== undefined) {
    const { done, running } = totals([job]);
    parts.push(`${step.reusedCount + done}/${step.elementCount} done, ${running} running`);
  } else if (step.elementCount > 1) parts.push(`${step.elementCount} elements`);
  if (step.reusedCount > 0) {
    parts.push(step.elementCount === 1 ? 'reused' : `${step.reusedCount} reused`);
  }
  if (step.countsByStatus !== null) parts.push(countsText(step));
  else if (step.failedCount > 0 && step.elementCount > 1) parts.push(`${step.failedCount} failed`);
  if (step.iteration !== null) parts.push(`iteration ${step.iteration}`);
  if (step.startedAtMs !== null)
    parts.push(formatDuration((step.endedAtMs ?? Date.now()) - step.startedAtMs));
  if (step.jobId !== null) parts.push(step.jobId);
  if (step.reason !== '') parts.push(step.reason);
  return parts.filter((part) => part !== '').join(', ');
}

interface Row {
  readonly rail: string;
  readonly label: string;
  readonly view: StepView | undefined;
}

function rowsOf(
  body: WorkflowBody,
  prefix: string,
  views: ReadonlyMap<string, StepView>,
  indent: string,
): Row[] {
  return railsOf(body).flatMap(({ name, rail }): Row[] => {
    const path = prefix + name;
    const step = body.steps[name]!;
    const row = { rail: indent + rail, label: name, view: views.get(path) };
    if (!isNested(step)) return [row];
    if (step.each !== undefined) {
      const rows = rowsOf(step.workflow, `${path}[*].`, views, `${indent}    `);
      return [row, ...rows.map((one) => ({ ...one, label: `[*] ${one.label}` }))];
    }
    const inside: Row[] = [];
    for (let iteration = 1; iteration <= 1000; iteration += 1) {
      const inner = step.repeat === undefined ? `${path}.` : `${path}[${iteration}].`;
      const isBegun = Object.keys(step.workflow.steps).some((one) => views.has(inner + one));
      if (!isBegun && iteration > 1) break;
      const number = step.repeat === undefined ? '' : `[${iteration}] `;
      const rows = rowsOf(step.workflow, inner, views, `${indent}    `);
      inside.push(...rows.map((one) => ({ ...one, label: number + one.label })));
      if (!isBegun || step.repeat === undefined) break;
    }
    return [row, ...inside];
  });
}

/** The graph of a round, one line for each step, with where it stands. */
export function drawRound(
  round: RoundView,
  hasColour: boolean,
  jobs: StepJobs = new Map(),
): string[] {
  const views = new Map(round.steps.map((step) => [step.path, step]));
  const rows = rowsOf(round.definition as WorkflowBody, '', views, '');
  const railWidth = Math.max(...rows.map(({ rail }) => rail.length));
  const labelWidth = Math.max(...rows.map(({ label }) => label.length));
  const lines = rows.map(({ rail, label, view }) => {
    const status = view?.status ?? 'waiting';
    const details = view === undefined ? '' : detailsOf(view, jobs.get(view.path));
    const left = `${rail.padEnd(railWidth)} ${label.padEnd(labelWidth)}`;
    return `${left}  ${paint(status, status.padEnd(10), hasColour)} ${details}`.trimEnd();
  });
  const failed = round.steps.flatMap((step) =>
    step.elementCount > 1 || step.failed.length > 1
      ? step.failed.map(
          (one) =>
            `  ${step.path} element ${one.position} (${one.label}): ${one.reason}${one.taskId === '' ? '' : `; ${one.taskId}`}`,
        )
      : step.failed.map((one) => `  ${step.path}: ${one.reason}; majorana logs ${one.taskId}`),
  );
  return failed.length === 0 ? lines : [...lines, 'did not succeed', ...failed];
}
