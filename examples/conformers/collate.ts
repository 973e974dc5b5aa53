import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { InputError, runProgram } from './chemistry.ts';
import { landscape } from './landscape.ts';
import { alignedTable, csvTable, rank, readResult, tableRows } from './ranking.ts';

const USAGE =
  'usage: node collate.ts --out-table ranking.csv --out-svg landscape.svg ' +
  '--out-json ranking.json FILE...';

runProgram('collate', () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'out-table': { type: 'string' },
      'out-svg': { type: 'string' },
      'out-json': { type: 'string' },
    },
  });
  const { 'out-table': table, 'out-svg': svg, 'out-json': json } = values;
  if (!table || !svg || !json || positionals.length === 0) throw new InputError(USAGE);
  const molecules = rank(positionals.map(readResult));
  const rows = tableRows(molecules);
  writeFileSync(table, csvTable(rows));
  writeFileSync(svg, landscape(molecules));
  writeFileSync(json, `${JSON.stringify(molecules, undefined, 2)}\n`);
  process.stdout.write(alignedTable(rows));
});
