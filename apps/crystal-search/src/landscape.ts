/** A scatter plot of density against lattice energy. */
export interface LandscapePoint {
  densityGramPerCm3: number;
  energyKjPerMol: number;
  label: string;
  hits: number;
  /** From 1; each has a colour and a place in the legend. */
  conformer?: number;
}

export interface Landmark {
  densityGramPerCm3: number;
  energyKjPerMol: number;
  label: string;
  /** A ring goes round a packing of the landscape; a diamond stands for itself. */
  shape: 'ring' | 'diamond';
}

const WIDTH = 760;
const HEIGHT = 480;
const MARGIN = { left: 78, right: 24, top: 18, bottom: 58 };
const TICKS_WANTED = 6;

export function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

interface Axis {
  low: number;
  high: number;
  ticks: number[];
  digits: number;
}

/** Limits and ticks at multiples of 1, 2 or 5 times a power of ten. */
function axisFor(values: readonly number[]): Axis {
  const least = Math.min(...values);
  const most = Math.max(...values);
  const span = Math.max(most - least, 1e-3 * Math.max(Math.abs(most), 1));
  const raw = span / TICKS_WANTED;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10);
  const low = Math.floor((least - 0.04 * span) / step) * step;
  const high = Math.ceil((most + 0.04 * span) / step) * step;
  const count = Math.round((high - low) / step);
  return {
    low,
    high,
    ticks: Array.from({ length: count + 1 }, (_, k) => low + k * step),
    digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)),
  };
}

function marker(shape: Landmark['shape'], x: number, y: number): string {
  return shape === 'ring'
    ? `<circle class="landmark" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="9"/>`
    : `<path class="landmark" d="M${x.toFixed(1)} ${(y - 8).toFixed(1)}l8 8-8 8-8-8z"/>`;
}

const STYLE = `
.axis{stroke:#666;stroke-width:1}.grid{stroke:#ccc;stroke-width:.5}
text{font:12px system-ui,sans-serif;fill:#333}
.point{fill:#2b6cb0;fill-opacity:.65;stroke:#1a4971;stroke-width:.5}
.landmark{fill:none;stroke:#c53030;stroke-width:2}.landmark-label{fill:#c53030;font-weight:600}`;

/** Told apart by people who see no red or green (Okabe and Ito 2008). */
const CONFORMER_COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00'];

function colourOf(conformer: number): string {
  return CONFORMER_COLOURS[(conformer - 1) % CONFORMER_COLOURS.length]!;
}

function legend(points: readonly LandscapePoint[]): string[] {
  const conformers = [...new Set(points.flatMap((point) => point.conformer ?? []))];
  return conformers
    .toSorted((a, b) => a - b)
    .map((conformer, index) => {
      const y = MARGIN.top + 14 + 18 * index;
      return (
        `<circle cx="${MARGIN.left + 14}" cy="${y - 4}" r="5" fill="${colourOf(conformer)}"/>` +
        `<text x="${MARGIN.left + 25}" y="${y}">conformer ${conformer}</text>`
      );
    });
}

export function landscapeSvg(
  points: readonly LandscapePoint[],
  landmarks: readonly Landmark[],
  title: string,
): string {
  const all = [...points, ...landmarks];
  const xs = axisFor(all.map((point) => point.densityGramPerCm3));
  const ys = axisFor(all.map((point) => point.energyKjPerMol));
  const x = (value: number) =>
    MARGIN.left + ((value - xs.low) / (xs.high - xs.low)) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (value: number) =>
    HEIGHT -
    MARGIN.bottom -
    ((value - ys.low) / (ys.high - ys.low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const bottom = HEIGHT - MARGIN.bottom;
  const xTicks = xs.ticks.map(
    (tick) =>
      `<line class="grid" x1="${x(tick).toFixed(1)}" x2="${x(tick).toFixed(1)}" y1="${MARGIN.top}" y2="${bottom}"/>` +
      `<text x="${x(tick).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${tick.toFixed(xs.digits)}</text>`,
  );
  const yTicks = ys.ticks.map(
    (tick) =>
      `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}"/>` +
      `<text x="${MARGIN.left - 8}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${tick.toFixed(ys.digits)}</text>`,
  );
  const dots = points.map((point) => {
    const radius = 3 + Math.min(4, Math.log2(point.hits) * 0.7);
    const colour =
      point.conformer === undefined ? '' : ` style="fill:${colourOf(point.conformer)}"`;
    return (
      `<circle class="point"${colour} cx="${x(point.densityGramPerCm3).toFixed(1)}" ` +
      `cy="${y(point.energyKjPerMol).toFixed(1)}" r="${radius.toFixed(1)}">` +
      `<title>${escapeXml(point.label)}</title></circle>`
    );
  });
  const marks = landmarks.map((mark) => {
    const [px, py] = [x(mark.densityGramPerCm3), y(mark.energyKjPerMol)];
    const isRight = px > WIDTH * 0.65;
    return (
      marker(mark.shape, px, py) +
      `<text class="landmark-label" x="${(px + (isRight ? -13 : 13)).toFixed(1)}" ` +
      `y="${(py + 4).toFixed(1)}" text-anchor="${isRight ? 'end' : 'start'}">${escapeXml(mark.label)}</text>`
    );
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeXml(title)}">
<title>${escapeXml(title)}</title><style>${STYLE}</style>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
${[...xTicks, ...yTicks].join('\n')}
<path class="axis" fill="none" d="M${MARGIN.left} ${MARGIN.top}V${bottom}H${WIDTH - MARGIN.right}"/>
<text x="${(MARGIN.left + WIDTH - MARGIN.right) / 2}" y="${HEIGHT - 14}" text-anchor="middle">Density, g/cm³</text>
<text transform="translate(18 ${(MARGIN.top + bottom) / 2}) rotate(-90)" text-anchor="middle">Lattice energy, kJ/mol</text>
${dots.toReversed().join('\n')}
${marks.join('\n')}
${legend(points).join('\n')}
</svg>
`;
}
