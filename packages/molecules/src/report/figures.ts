import type { Histogram } from './tally.ts';

const WIDTH = 320;
const HEIGHT = 170;
const LEFT = 44;
const BOTTOM = 34;
const TOP = 26;
/** The rare smallest and largest values share the first and the last bar, so that the others stay wide enough to see. */
const BARS_MAX = 30;

export const escapeHtml = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');

interface Bar {
  readonly label: string;
  readonly title: string;
  readonly count: number;
}

function chart(title: string, bars: readonly Bar[], labelEvery: number): string {
  const most = Math.max(...bars.map(({ count }) => count), 1);
  const step = (WIDTH - LEFT - 8) / bars.length;
  const shapes = bars.map(({ count, label, title: what }, at) => {
    const height = ((HEIGHT - TOP - BOTTOM) * count) / most;
    const x = LEFT + at * step;
    const text =
      at % labelEvery === 0
        ? `<text x="${(x + step / 2).toFixed(1)}" y="${HEIGHT - BOTTOM + 13}" text-anchor="middle">${escapeHtml(label)}</text>`
        : '';
    return `<rect x="${(x + step * 0.08).toFixed(1)}" y="${(HEIGHT - BOTTOM - height).toFixed(1)}" width="${(step * 0.84).toFixed(1)}" height="${height.toFixed(1)}"><title>${escapeHtml(what)}: ${count}</title></rect>${text}`;
  });
  return `<svg class="chart" role="img" aria-label="${escapeHtml(title)}" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}">
<text x="${LEFT}" y="15" class="title">${escapeHtml(title)}</text>
<text x="${LEFT - 6}" y="${TOP + 6}" text-anchor="end">${most}</text><text x="${LEFT - 6}" y="${HEIGHT - BOTTOM}" text-anchor="end">0</text>
<path d="M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - 8}" class="axis"/>${shapes.join('')}</svg>`;
}

/** The first of as many bins as fit, so that the bars between the outer two hold most. */
function fullestWindow(counts: ReadonlyMap<number, number>, lowest: number, highest: number) {
  let [best, most] = [lowest, -1];
  for (let first = lowest; first <= Math.max(lowest, highest - BARS_MAX + 1); first++) {
    let sum = 0;
    for (let bin = first + 1; bin < first + BARS_MAX - 1; bin++) sum += counts.get(bin) ?? 0;
    if (sum > most) [best, most] = [first, sum];
  }
  return best;
}

export function histogramSvg({ title, width, counts }: Histogram): string {
  if (counts.size === 0) return '';
  const [lowest, highest] = [Math.min(...counts.keys()), Math.max(...counts.keys())];
  const first = fullestWindow(counts, lowest, highest);
  const last = Math.min(highest, first + BARS_MAX - 1);
  const countWhere = (isIn: (bin: number) => boolean): number =>
    [...counts].filter(([bin]) => isIn(bin)).reduce((sum, [, count]) => sum + count, 0);
  const edge = (bin: number): number => Number((bin * width).toFixed(2));
  const bars: Bar[] = [];
  for (let bin = first; bin <= last; bin++) {
    const count = counts.get(bin) ?? 0;
    const range = width === 1 ? `${edge(bin)}` : `${edge(bin)} to ${edge(bin + 1)}`;
    if (bin === first && lowest < first) {
      const title = width === 1 ? `${edge(bin)} or less` : `below ${edge(bin + 1)}`;
      bars.push({ label: `≤${edge(bin)}`, title, count: countWhere((one) => one <= bin) });
    } else if (bin === last && highest > last) {
      const title = `${edge(bin)} or more`;
      bars.push({ label: `${edge(bin)}+`, title, count: countWhere((one) => one >= bin) });
    } else bars.push({ label: `${edge(bin)}`, title: range, count });
  }
  return chart(title, bars, Math.ceil(bars.length / 7));
}

export function elementsSvg(elements: ReadonlyMap<string, number>): string {
  const bars = [...elements]
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, 14)
    .map(([label, count]) => ({ label, title: label, count }));
  return bars.length === 0 ? '' : chart('Molecules with this element', bars, 1);
}
