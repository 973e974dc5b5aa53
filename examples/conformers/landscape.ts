import type { RankedMolecule } from './ranking.ts';

const WIDTH = 860;
const LEFT = 150;
const RIGHT = 130;
const TOP = 92;
const ROW = 36;
const BOTTOM = 64;
const PLOT = WIDTH - LEFT - RIGHT;

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** The step of 1, 2 or 5 times a power of ten that gives at most eight intervals. */
function axisStep(highest: number): number {
  const power = 10 ** Math.floor(Math.log10(highest / 8));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => highest / step <= 8)!;
}

function axis(highest: number, step: number, bottom: number): string[] {
  const count = Math.round(highest / step);
  const marks = Array.from({ length: count + 1 }, (_, index) => {
    const x = LEFT + (PLOT * index) / count;
    const label = Number((index * step).toPrecision(6));
    return (
      `<line class="grid" x1="${x}" y1="${TOP}" x2="${x}" y2="${bottom}"/>` +
      `<text class="scale" x="${x}" y="${bottom + 20}" text-anchor="middle">${label}</text>`
    );
  });
  const title = 'Energy above the lowest conformer (kJ/mol)';
  return [
    ...marks,
    `<text class="label" x="${LEFT + PLOT / 2}" y="${bottom + 46}" text-anchor="middle">${title}</text>`,
  ];
}

function row(entry: RankedMolecule, index: number, highest: number): string {
  const middle = TOP + ROW * index + ROW / 2;
  const ticks = entry.conformers.map((conformer) => {
    const x = (LEFT + (PLOT * conformer.relativeKjPerMol) / highest).toFixed(2);
    const title = `${conformer.relativeKjPerMol.toFixed(2)} kJ/mol, ${conformer.hits} attempts`;
    return (
      `<line class="tick" x1="${x}" y1="${middle - 10}" x2="${x}" y2="${middle + 10}">` +
      `<title>${title}</title></line>`
    );
  });
  return [
    `<line class="base" x1="${LEFT}" y1="${middle}" x2="${LEFT + PLOT}" y2="${middle}"/>`,
    `<text class="name" x="${LEFT - 14}" y="${middle + 5}" text-anchor="end">` +
      `${escape(entry.molecule)}</text>`,
    ...ticks,
    `<text class="count" x="${WIDTH - RIGHT / 2}" y="${middle + 5}" text-anchor="middle">` +
      `${entry.distinctConformers}</text>`,
  ].join('\n');
}

export function landscape(molecules: readonly RankedMolecule[]): string {
  const energies = molecules.flatMap((entry) => entry.conformers.map((c) => c.relativeKjPerMol));
  const widest = Math.max(1, ...energies);
  const step = axisStep(widest);
  const highest = Math.ceil(widest / step) * step;
  const bottom = TOP + ROW * molecules.length;
  const height = bottom + BOTTOM;
  const attempts = molecules.reduce((sum, entry) => sum + entry.attempts, 0);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">
<title>Conformers of ${molecules.length} molecules</title>
<style>
text { font-family: 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif; fill: #1d2733; }
.heading { font-size: 19px; font-weight: 600; }
.note, .label, .count, .scale { font-size: 13px; fill: #52606d; }
.name { font-size: 14px; }
.grid { stroke: #e7ebef; }
.base { stroke: #cdd5dd; }
.tick { stroke: #0b5fa5; stroke-width: 2.5; stroke-linecap: round; }
</style>
<rect width="100%" height="100%" fill="#ffffff"/>
<text class="heading" x="24" y="36">Conformers of ${molecules.length} molecules</text>
<text class="note" x="24" y="58">MMFF94 minima, ${attempts} attempts in all; one mark for each distinct conformer</text>
<text class="note" x="${WIDTH - RIGHT / 2}" y="${TOP - 12}" text-anchor="middle">conformers</text>
${axis(highest, step, bottom).join('\n')}
${molecules.map((entry, index) => row(entry, index, highest)).join('\n')}
</svg>
`;
}
