import type { LineageEdge, LineageGraph, LineageNode, LineageTask } from '@majorana/protocol';
import { formatBytes, formatDuration, plural } from '../output.ts';

const short = (object: string): string => object.slice(0, 12);
const isPlain = (word: string): boolean => /^[\w./:=@%+,-]+$/.test(word);
const quoted = (word: string): string => (isPlain(word) ? word : JSON.stringify(word));
const pairs = (record: Readonly<Record<string, string>>): string =>
  Object.entries(record)
    .map(([name, value]) => `${name}=${quoted(value)}`)
    .join(' ');

function taskLines(task: LineageTask): string[] {
  const step = task.step === null ? '' : `, step ${task.step}`;
  const many = task.taskCount > 1 ? ` (${task.taskCount} tasks)` : '';
  const began = task.startedAtMs === null ? '' : ` at ${new Date(task.startedAtMs).toISOString()}`;
  const took =
    task.startedAtMs === null || task.endedAtMs === null
      ? ''
      : `, ${formatDuration(task.endedAtMs - task.startedAtMs)}`;
  const where = task.agentId === null ? [] : [`on ${task.agentId}${began}${took}`];
  const own = Object.fromEntries(
    Object.entries(task.parameters).filter(([name]) => name !== 'job' && name !== 'task_count'),
  );
  const facts: [string, Readonly<Record<string, string>>][] = [
    ['parameters', own],
    ['environment', task.env],
    ['tools', task.tools],
  ];
  return [
    `${task.id} ${task.name}${many}${step}`,
    `  ${task.argv.map(quoted).join(' ')}`,
    ...(task.image === null ? [] : [`  image ${task.image}`]),
    ...where.map((line) => `  ${line}`),
    ...facts.flatMap(([name, record]) =>
      Object.keys(record).length === 0 ? [] : [`  ${name}: ${pairs(record)}`],
    ),
    ...(task.isCut ? [`  more files than are shown (--width); ${task.inputCount} inputs`] : []),
  ];
}

function nodeLines(node: LineageNode, path: string): string[] {
  if (node.kind === 'task') return taskLines(node);
  if (node.kind === 'dataset') {
    const source = node.source === null ? '' : ` from ${node.source}`;
    const at = new Date(node.createdAtMs).toISOString();
    const said = node.message === '' ? '' : `: ${node.message}`;
    const files = plural(node.fileCount, 'file');
    return [`dataset ${node.id}, ${files}, by ${node.user} at ${at}${source}${said}`];
  }
  const size = node.sizeBytes === null ? '' : ` ${formatBytes(node.sizeBytes)}`;
  const held = node.dataset === null ? '' : ` in ${node.dataset}`;
  const origin = node.makerCount === 0 ? ', uploaded' : '';
  const others = node.makerCount > 1 ? `, made by ${node.makerCount} attempts alike` : '';
  const name = path === '' ? '' : `${path} `;
  return [`${name}${short(node.id)}${size}${held}${origin}${others}`];
}

/** A tree from what was asked for; what stands there already is only named again. */
export function lineageText(graph: LineageGraph): string {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const next = new Map<string, { id: string; edge: LineageEdge }[]>();
  for (const edge of graph.edges) {
    const [at, id] = graph.direction === 'up' ? [edge.to, edge.from] : [edge.from, edge.to];
    next.set(at, [...(next.get(at) ?? []), { id, edge }]);
  }
  const told = new Set<string>();
  const lines: string[] = [];
  const tell = (id: string, path: string, indent: string): void => {
    const node = nodes.get(id);
    if (node === undefined) return;
    const own = nodeLines(node, node.kind === 'object' ? path : '');
    if (told.has(id)) {
      lines.push(`${indent}${own[0]} (above)`);
      return;
    }
    told.add(id);
    lines.push(...own.map((line) => indent + line));
    for (const { id: other, edge } of next.get(id) ?? []) {
      tell(other, edge.path, `${indent}  `);
    }
  };
  const rootPath = (id: string): string => graph.edges.find(({ to }) => to === id)?.path ?? '';
  for (const root of graph.roots) tell(root, rootPath(root), '');
  if (graph.isCut) lines.push('more than is shown: --depth goes further');
  return lines.join('\n');
}
