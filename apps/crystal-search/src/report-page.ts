import type { Comparison } from './compare.ts';
import type { PackingsFile, Refined } from './files.ts';
import { escapeXml } from './landscape.ts';
import { conformerOf, type Molecule } from './molecule.ts';
import { PRICE_SOURCE, USD_PER_CORE_HOUR, type Cost } from './timing.ts';
import { VIEWER_SCRIPT, viewerCrystal, viewerElements } from './viewer.ts';

export interface PageContent {
  molecules: readonly Molecule[];
  file: PackingsFile;
  comparisons: readonly Comparison[];
  verdicts: readonly string[];
  svg: string;
  top: number;
  cost: Cost | undefined;
}

const STYLE = `
:root{color-scheme:light}
body{font:15px/1.45 system-ui,sans-serif;color:#222;margin:0 auto;max-width:1080px;padding:1.2rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;font-size:13px;width:100%}
th,td{padding:.25rem .5rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child,td.text,th.text{text-align:left}
tr.match{background:#fff1f0}
.wide{overflow-x:auto}
canvas{width:100%;height:460px;border:1px solid #ccc;touch-action:none;background:#fff}
svg{max-width:100%;height:auto}
.found{color:#22543d}.missed{color:#9b2c2c}
button{font:inherit;font-size:12px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#555}dd{margin:0}`;

const POTENTIAL_TEXT = {
  fit: 'FIT exp-6 (Williams and Cox 1984; Cox, Hsu and Williams 1981; Coombes et al. 1996)',
  w99: 'W99 exp-6 (Williams 2001), hydrogen sites 0.1 Å inside the bond',
} as const;

function cellText(cell: readonly number[]): string {
  return cell.map((value, k) => value.toFixed(k < 3 ? 3 : 2)).join(' ');
}

function refinedText(refined: Refined | undefined): string {
  if (!refined) return '';
  const { rank, energyKjPerMol, aboveMinimumKjPerMol, volumeChangePercent } = refined;
  const energy = energyKjPerMol === undefined ? '' : `${energyKjPerMol.toFixed(1)}, `;
  const volume = volumeChangePercent === undefined ? '' : `, V ${volumeChangePercent.toFixed(1)} %`;
  return `${rank}: ${energy}+${aboveMinimumKjPerMol.toFixed(2)}${volume}`;
}

function rankedTable({ molecules, file, comparisons, top }: PageContent): string {
  const matches = new Map(
    comparisons.flatMap((comparison) =>
      comparison.isFound ? [[comparison.best!.rank, comparison.name] as const] : [],
    ),
  );
  const isRefined = file.packings.some((packing) => packing.refined);
  const isFlexible = molecules.length > 1;
  const rows = file.packings.map((packing, index) => {
    const match = matches.get(packing.rank);
    return `<tr${match ? ' class="match"' : ''}><td>${packing.rank}</td>
<td>${packing.energyKjPerMol.toFixed(2)}</td><td>${packing.aboveMinimumKjPerMol.toFixed(2)}</td>
${isRefined ? `<td>${refinedText(packing.refined)}</td>` : ''}${isFlexible ? `<td>${packing.conformer ?? 1}</td>` : ''}<td>${packing.densityGramPerCm3.toFixed(4)}</td>
<td class="text">${escapeXml(packing.symmetrySymbol)}</td><td>${packing.moleculesInStandardCell}</td>
<td>${cellText(packing.standardCell)}</td><td>${packing.hits}</td>
<td class="text">${packing.foundIn.join(', ')}</td>
<td class="text">${index < top ? `<button data-show="${index}">view</button>` : ''} ${match ? escapeXml(match) : ''}</td></tr>`;
  });
  return `<div class="wide"><table><thead><tr><th>Rank</th><th>E, kJ/mol</th><th>ΔE</th>
${isRefined ? '<th>GFN1-xTB rank: kJ/mol, above</th>' : ''}${isFlexible ? '<th>Conformer</th>' : ''}<th>Density, g/cm³</th><th class="text">Symmetry</th><th>Z</th>
<th>Cell, Å and °</th><th>Hits</th><th class="text">Searched in</th><th></th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`;
}

function comparisonTable(comparisons: readonly Comparison[]): string {
  if (comparisons.length === 0) return '<p>No experimental structure was given.</p>';
  const percent = (value: number | undefined) => (value === undefined ? '–' : value.toFixed(1));
  const rows = comparisons.map((comparison) => {
    const { best, relaxed } = comparison;
    const found = comparison.isFound && best ? best : undefined;
    return `<tr><td class="text">${escapeXml(comparison.name)}</td>
<td class="text">${escapeXml(comparison.spaceGroup)}</td><td>${cellText(comparison.cell)}</td>
<td class="text ${found ? 'found' : 'missed'}">${found ? `rank ${found.rank}` : 'not found'}</td>
<td>${found ? found.aboveMinimumKjPerMol.toFixed(2) : '–'}</td>
<td>${best ? `${best.matched}/15` : '–'}</td><td>${best ? best.rmsdAngstrom.toFixed(3) : '–'}</td>
<td>${comparison.cellDeviationPercent?.map(percent).join(', ') ?? '–'}</td>
<td>${percent(comparison.densityDeviationPercent)}</td>
<td>${relaxed ? relaxed.energyKjPerMol.toFixed(2) : escapeXml(comparison.problem ?? '–')}</td>
<td>${relaxed ? (relaxed.aboveMinimumKjPerMol + 1e-9).toFixed(2) : '–'}</td>
<td>${relaxed?.rank ?? '–'}</td></tr>`;
  });
  return `<div class="wide"><table><thead><tr><th class="text">Experiment</th><th class="text">Group</th>
<th>Cell</th><th class="text">In the landscape</th><th>ΔE, kJ/mol</th><th>Molecules</th><th>RMSD, Å</th>
<th>Lengths, %</th><th>Density, %</th><th>Relaxed here, kJ/mol</th><th>ΔE</th><th>Rank of that</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`;
}

function conformerTable(molecules: readonly Molecule[], file: PackingsFile): string {
  if (molecules.length < 2) return '';
  const rows = molecules.map((molecule, index) => {
    const own = file.packings.filter((packing) => (packing.conformer ?? 1) === index + 1);
    return `<tr><td>${index + 1}</td><td>${(molecule.conformerKjPerMol ?? 0).toFixed(2)}</td>
<td class="text">${escapeXml(molecule.pointGroup)}</td><td>${own.length}</td>
<td>${own[0] ? `${own[0].rank} (+${own[0].aboveMinimumKjPerMol.toFixed(2)})` : '–'}</td></tr>`;
  });
  return `<h2>Conformers</h2><p>Each was searched as a rigid molecule. Energies of their crystals are
lattice energy plus the conformer's MMFF94s energy above the lowest one, which is known to some kJ/mol only.</p>
<div class="wide"><table><thead><tr><th>Conformer</th><th>MMFF94s, kJ/mol</th><th class="text">Point group</th>
<th>Packings</th><th>Best rank</th></tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}

function costTable(cost: Cost | undefined): string {
  if (!cost) return '';
  const { stages, coreHours, cpuSeconds, usd, usdPerCoreHour } = cost;
  const rows = stages.map(
    (
      stage,
    ) => `<tr><td>${escapeXml(stage.stage)}</td><td>${stage.tasks}</td><td>${stage.structures}</td>
<td>${stage.cpuSeconds.toFixed(1)}</td><td>${stage.wallSeconds.toFixed(1)}</td></tr>`,
  );
  const source = usdPerCoreHour === USD_PER_CORE_HOUR ? ` (${PRICE_SOURCE})` : '';
  return `<h2>What it took</h2><div class="wide"><table><thead><tr><th>Stage</th><th>Tasks</th>
<th>Structures</th><th>Core-seconds</th><th>Seconds, summed over tasks</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>
<p>${cpuSeconds.toFixed(1)} core-seconds are ${coreHours.toFixed(4)} core-hours: ${usd.toFixed(5)} USD at
${usdPerCoreHour} USD for a core-hour${source}. Attempts that ended early and this report are not counted.</p>`;
}

/** JSON inside a script element: no end tag may appear in it. */
function embedded(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c');
}

export function reportPage(content: PageContent): string {
  const { molecules, file, verdicts, svg, top } = content;
  const molecule = molecules[0]!;
  const crystals = file.packings
    .slice(0, top)
    .map((packing) => viewerCrystal(packing, conformerOf(molecules, packing)));
  const { options } = file;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Crystal structures of ${escapeXml(molecule.name)}</title><style>${STYLE}</style></head><body>
<h1>Crystal structures of ${escapeXml(molecule.name)}</h1>
<p>${file.packings.length} distinct packings from ${file.relaxedCount} structures, ${file.convergedCount} of them converged.</p>
${verdicts.map((text) => `<p><strong>${escapeXml(text)}</strong></p>`).join('\n')}
<h2>Energy landscape</h2>
${svg}
${conformerTable(molecules, file)}
<h2>Comparison with experiment</h2>
${comparisonTable(content.comparisons)}
<h2>Packings</h2>
<p><label>Shown: <select id="pick"></select></label> drag to turn, wheel to zoom, arrow keys when focused</p>
<canvas id="viewer" tabindex="0" aria-label="The selected crystal"></canvas>
${rankedTable(content)}
${costTable(content.cost)}
<h2>How it was made</h2>
<dl><dt>Molecule</dt><dd>${escapeXml(molecule.name)}, ${molecule.atoms.length} atoms, ${escapeXml(molecule.pointGroup)}; rigid</dd>
<dt>Geometry</dt><dd>${escapeXml(molecule.geometry)}</dd>
<dt>Charges</dt><dd>${escapeXml(molecule.chargeModel)}; Ewald sum</dd>
<dt>Potential</dt><dd>${POTENTIAL_TEXT[options.potential]}; cutoff ${options.cutoffAngstrom} Å with tail correction</dd>
<dt>Refinement</dt><dd>${escapeXml(file.refinement ?? 'none')}</dd>
<dt>Limits</dt><dd>One rigid molecule in the asymmetric unit; energies at 0 K without vibrations; point charges. Exp-6 models of this kind are 7–9 % off in lattice energy and 3 % in cell lengths on average (Pyzer-Knapp et al. 2016): differences of a few kJ/mol do not decide which crystal grows.</dd></dl>
<script type="application/json" id="crystals">${embedded({ crystals, elements: viewerElements(molecule) })}</script>
<script>${VIEWER_SCRIPT}</script>
</body></html>
`;
}
