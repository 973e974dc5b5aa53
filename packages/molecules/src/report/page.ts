import { STATUSES } from '../outcome.ts';
import type { ReasonCode, ReasonKind } from '../reasons.ts';
import { kindOf, REASONS } from '../reasons.ts';
import { elementsSvg, escapeHtml, histogramSvg } from './figures.ts';
import type { Drawing, Example, Tally } from './tally.ts';

const STYLE = `
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#1d2733;margin:0 auto;max-width:1060px;padding:1.5rem}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}h3{font-size:1rem;margin:1.4rem 0 .2rem}
p{margin:.3rem 0 .6rem;max-width:46rem}
table{border-collapse:collapse;font-size:13px;width:100%}details table{table-layout:fixed}details th:nth-child(1){width:28%}details th:nth-child(2){width:16%}details th:nth-child(3){width:30%}summary{cursor:pointer;margin:.5rem 0}
th,td{padding:.25rem .6rem;text-align:left;border-bottom:1px solid #e1e5ea;vertical-align:top;overflow-wrap:anywhere}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{font:12px ui-monospace,monospace;overflow-wrap:anywhere}
.counts{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0}
.counts div{border:1px solid #d5dbe2;border-radius:6px;padding:.5rem .9rem;min-width:6.5rem}
.counts b{display:block;font-size:1.4rem}
.broken b,.rejected b{color:#a3261f}.changed b{color:#8a5a00}
.grid{display:flex;flex-wrap:wrap;gap:.8rem}
.chart text{font:11px system-ui,sans-serif;fill:#46535f}.chart .title{font-size:13px;font-weight:600;fill:#1d2733}
.chart rect{fill:#3a6ea5}.chart .axis{stroke:#9aa6b2;fill:none}
figure{margin:0;border:1px solid #e1e5ea;border-radius:6px;padding:.5rem;width:15rem;box-sizing:border-box;text-align:center}
figure svg{max-width:100%;height:130px}figcaption{font-size:12px;overflow-wrap:anywhere}
small{color:#5b6773}`;

const MEANINGS = {
  kept: 'as given',
  changed: 'kept, and changed',
  duplicate: 'the same as an earlier one',
  rejected: 'read, and no molecule to keep',
  broken: 'could not be read',
} as const;

function countBoxes(tally: Tally): string {
  const boxes = STATUSES.map(
    (status) =>
      `<div class="${status}"><b>${tally.statuses[status]}</b>${status}<br><small>${MEANINGS[status]}</small></div>`,
  );
  return `<div class="counts">${boxes.join('')}</div>`;
}

const FILES_MAX = 50;

function fileTable(tally: Tally): string {
  const head = `<tr><th>File</th>${STATUSES.map((status) => `<th class="n">${status}</th>`).join('')}</tr>`;
  const rows = [...tally.files]
    .slice(0, FILES_MAX)
    .map(
      ([file, counts]) =>
        `<tr><td>${escapeHtml(file)}</td>${STATUSES.map((status) => `<td class="n">${counts[status]}</td>`).join('')}</tr>`,
    );
  const more =
    tally.files.size > FILES_MAX ? `<p>and ${tally.files.size - FILES_MAX} more files</p>` : '';
  return `<table>${head}${rows.join('\n')}</table>${more}`;
}

function exampleRow({ where, name, words, text }: Example): string {
  return `<tr><td>${escapeHtml(where)}</td><td>${escapeHtml(name)}</td><td>${escapeHtml(words)}</td><td><code>${escapeHtml(text.slice(0, 90))}</code></td></tr>`;
}

function reasonSection(
  code: ReasonCode,
  seen: { count: number; examples: readonly Example[] },
): string {
  const more = seen.count - seen.examples.length;
  return `<details${kindOf(code) === 'broken' || kindOf(code) === 'rejected' ? ' open' : ''}><summary><b>${code}</b> — ${seen.count} ${seen.count === 1 ? 'record' : 'records'}. ${escapeHtml(REASONS[code][1])}</summary>
<table><tr><th>Where</th><th>Name</th><th>What</th><th>Begins with</th></tr>${seen.examples.map(exampleRow).join('\n')}</table>
${more > 0 ? `<p>and ${more} more, in records.csv</p>` : ''}</details>`;
}

function reasonSections(tally: Tally, title: string, ...kinds: readonly ReasonKind[]): string {
  const found = [...tally.reasons]
    .filter(([code]) => kinds.includes(kindOf(code)))
    .toSorted((a, b) => b[1].count - a[1].count);
  if (found.length === 0) return '';
  return `<h2>${title}</h2>${found.map(([code, seen]) => reasonSection(code, seen)).join('\n')}`;
}

/** openchemlib's drawing: of its own canonical form, so no text of the record's is in it. */
function figure({ id, name, formula, svg }: Drawing): string {
  return `<figure>${svg}<figcaption><b>${id}</b> ${escapeHtml(name.slice(0, 60))}<br>${escapeHtml(formula)}</figcaption></figure>`;
}

/** One page that needs nothing else: no network, no script. */
export function reportPage(tally: Tally): string {
  const figures = [...tally.histograms.map(histogramSvg), elementsSvg(tally.elements)].join('\n');
  const isAll = tally.drawings.length === tally.cleaned;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Cleaned molecules</title><style>${STYLE}</style></head><body>
<h1>Cleaned molecules</h1>
<p>${tally.total} records read, ${tally.cleaned} molecules kept. <b>cleaned.smi</b>, <b>cleaned.sdf</b> and <b>cleaned.csv</b> hold them; <b>records.csv</b> says of each record what was done and why.</p>
${countBoxes(tally)}
${fileTable(tally)}
${reasonSections(tally, 'Broken and rejected', 'broken', 'rejected')}
<h2>First look</h2><div class="grid">${figures}</div>
<h2>${isAll ? 'Molecules' : `The first ${tally.drawings.length} molecules`}</h2><div class="grid">${tally.drawings.map(figure).join('\n')}</div>
${reasonSections(tally, 'What was changed', 'action')}
${reasonSections(tally, 'Worth a look; nothing was changed', 'note')}
${reasonSections(tally, 'Duplicates', 'duplicate')}
</body></html>
`;
}
