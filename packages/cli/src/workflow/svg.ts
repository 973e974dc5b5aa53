import type { WorkflowBody } from '@majorana/core';
import { isNested } from '@majorana/core';
import { inOrder, upstreamOf } from './picture.ts';

const BOX = { height: 34, gapX: 48, gapY: 16, padding: 14, characterWidth: 7.4 } as const;
/** Below the boxes, where arrows run that would cross some. */
const LANE = 10;

const FILLS: Readonly<Record<string, string>> = {
  succeeded: '#d9f2e0',
  failed: '#f9d7d5',
  blocked: '#fbe9cf',
  cancelled: '#fbe9cf',
  skipped: '#ececec',
  waiting: '#ffffff',
};

interface Node {
  readonly name: string;
  readonly label: string;
  readonly inner: Layout | undefined;
  readonly width: number;
  readonly height: number;
  x: number;
  y: number;
}
interface Edge {
  readonly from: Node;
  readonly to: Node;
  /** How deep below the boxes it runs; undefined: straight to the next column. */
  readonly laneY: number | undefined;
}
interface Layout {
  readonly nodes: ReadonlyMap<string, Node>;
  readonly edges: readonly Edge[];
  readonly width: number;
  readonly height: number;
}

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

function makeNode(body: WorkflowBody, name: string): Node {
  const step = body.steps[name]!;
  const isFanOut = step.each !== undefined;
  const isLoop = isNested(step) && step.repeat !== undefined;
  const label = name + (isFanOut ? ' × n' : isLoop ? ` ⟳ ≤ ${step.repeat!.iterationsMax}` : '');
  const own = label.length * BOX.characterWidth + 2 * BOX.padding;
  const inner = isNested(step) ? layOut(step.workflow) : undefined;
  const width = Math.max(own, inner === undefined ? 0 : inner.width + 2 * BOX.padding);
  const height = BOX.height + (inner === undefined ? 0 : inner.height + BOX.padding);
  return { name, label, inner, width, height, x: 0, y: 0 };
}

/** Columns by the longest way to a step; within a column from top to bottom. */
function layOut(body: WorkflowBody): Layout {
  const nodes = new Map<string, Node>();
  const columnOf = new Map<string, number>();
  for (const name of inOrder(body)) {
    const before = upstreamOf(body, name).map((one) => columnOf.get(one)! + 1);
    columnOf.set(name, Math.max(0, ...before));
    nodes.set(name, makeNode(body, name));
  }
  const columns: Node[][] = [];
  for (const [name, column] of columnOf) (columns[column] ??= []).push(nodes.get(name)!);
  let x = 0;
  let height = 0;
  for (const column of columns) {
    let y = 0;
    for (const node of column) {
      node.x = x;
      node.y = y;
      y += node.height + BOX.gapY;
    }
    height = Math.max(height, y - BOX.gapY);
    x += Math.max(...column.map((node) => node.width)) + BOX.gapX;
  }
  const edges: Edge[] = [];
  for (const name of nodes.keys()) {
    for (const one of upstreamOf(body, name)) {
      const isNext = columnOf.get(name)! - columnOf.get(one)! === 1;
      if (!isNext) height += LANE;
      const laneY = isNext ? undefined : height;
      edges.push({ from: nodes.get(one)!, to: nodes.get(name)!, laneY });
    }
  }
  return { nodes, edges, width: x - BOX.gapX, height };
}

const middle = (node: Node): number => node.y + BOX.height / 2;

function drawEdge({ from, to, laneY }: Edge): string {
  const [x1, y1, x2, y2] = [from.x + from.width, middle(from), to.x, middle(to)];
  const bend = (x2 - x1) / 2;
  const straight = `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`;
  const side = BOX.gapX / 4;
  const around = `M${x1},${y1} h${side} V${laneY} H${x2 - 2 * side} V${y2} H${x2}`;
  const way = laneY === undefined ? straight : around;
  return `<path d="${way}" fill="none" stroke="#667" stroke-linejoin="round" marker-end="url(#arrow)"/>`;
}

function drawNode(node: Node, prefix: string, statuses: ReadonlyMap<string, string>): string {
  const status = statuses.get(prefix + node.name) ?? 'waiting';
  const box = `<rect x="${node.x}" y="${node.y}" width="${node.width}" height="${node.height}" rx="6" fill="${FILLS[status] ?? '#d8e6fb'}" stroke="#445"/>`;
  const title = `<title>${escape(`${prefix}${node.name}: ${status}`)}</title>`;
  const label = `<text x="${node.x + BOX.padding}" y="${node.y + 22}">${escape(node.label)}</text>`;
  const { inner } = node;
  if (inner === undefined) return `<g>${title}${box}${label}</g>`;
  const place = `translate(${node.x + BOX.padding},${node.y + BOX.height})`;
  const inside = drawLayout(inner, `${prefix}${node.name}.`, statuses);
  return `<g>${title}${box}${label}<g transform="${place}">${inside}</g></g>`;
}

function drawLayout(layout: Layout, prefix: string, statuses: ReadonlyMap<string, string>): string {
  const nodes = [...layout.nodes.values()].map((node) => drawNode(node, prefix, statuses));
  return [...nodes, ...layout.edges.map(drawEdge)].join('\n');
}

/** The graph of a workflow as a picture; `statuses` colour its steps, by path without iterations. */
export function drawSvg(body: WorkflowBody, statuses: ReadonlyMap<string, string>): string {
  const layout = layOut(body);
  const width = Math.ceil(layout.width + 2 * BOX.padding);
  const height = Math.ceil(layout.height + 2 * BOX.padding);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">
<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#667"/></marker></defs>
<g transform="translate(${BOX.padding},${BOX.padding})">
${drawLayout(layout, '', statuses)}
</g>
</svg>
`;
}
