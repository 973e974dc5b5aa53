/** One packing: where it stands, and the name of the measured crystal that it is. */
export interface Point {
  readonly densityGramPerCm3: number;
  readonly aboveMinimumKjPerMol: number;
  readonly experiment: string;
}

const WIDTH = 60;
const HEIGHT = 12;

/** The energy landscape in characters: density to the right, energy above the minimum upwards. */
export function drawLandscape(points: readonly Point[]): string[] {
  if (points.length === 0) return [];
  const densities = points.map((one) => one.densityGramPerCm3);
  const [low, high] = [Math.min(...densities), Math.max(...densities)];
  const top = Math.max(...points.map((one) => one.aboveMinimumKjPerMol));
  const cells = Array.from({ length: HEIGHT }, () => Array.from({ length: WIDTH }, () => ' '));
  const place = (value: number, span: number, size: number): number =>
    span > 0 ? Math.round((value / span) * (size - 1)) : 0;
  // The measured ones last: none is hidden by its neighbours.
  for (const one of points.toSorted((a, b) => a.experiment.length - b.experiment.length)) {
    const column = place(one.densityGramPerCm3 - low, high - low, WIDTH);
    const row = HEIGHT - 1 - place(one.aboveMinimumKjPerMol, top, HEIGHT);
    cells[row]![column] = one.experiment === '' ? '·' : '◉';
  }
  const label = (row: number): string =>
    row === 0 ? top.toFixed(1).padStart(6) : row === HEIGHT - 1 ? '   0.0' : '      ';
  const ticks = low.toFixed(3) + high.toFixed(3).padStart(WIDTH - low.toFixed(3).length);
  return [
    'kJ/mol above the lowest',
    ...cells.map((cellsOfRow, row) => `${label(row)} │${cellsOfRow.join('')}`.trimEnd()),
    `       └${'─'.repeat(WIDTH)}`,
    `        ${ticks} g/cm³`,
    `        ${points.length} packings; ◉ the measured crystal`,
  ];
}
