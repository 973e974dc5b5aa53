import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'crystal-search-'));
afterAll(() => rmSync(folder, { recursive: true }));

const program = fileURLToPath(new URL('main.ts', import.meta.url));
const benzene = fileURLToPath(new URL('../experiments/benzene.cif', import.meta.url));

function run(...args: string[]) {
  const flags = ['--disable-warning=ExperimentalWarning'];
  return spawnSync(process.execPath, [...flags, program, ...args], {
    cwd: folder,
    encoding: 'utf8',
  });
}

test('the stages pass files on to each other, and parts of a search add up to the whole', () => {
  const steps: string[][] = [
    ['molecule', 'c1ccccc1', '--name', 'benzene <1>', '--starts', '1', '-o', 'molecule.json'],
    ['search', 'molecule.json', '--groups', '14,19', '--per-group', '4', '-o', 'crystals.json'],
    ['relax', 'molecule.json', 'crystals.json', '-o', 'all.json'],
    ['relax', 'molecule.json', 'crystals.json', '--from', '0', '--count', '5', '-o', 'a.json'],
    ['relax', 'molecule.json', 'crystals.json', '--from', '5', '-o', 'b.json'],
    ['cluster', 'molecule.json', 'all.json', '-o', 'packings.json'],
    ['cluster', 'molecule.json', 'b.json', 'a.json', '-o', 'parts.json'],
    ['refine-plan', 'packings.json', '--top', '1', '-o', 'plan.txt'],
    ['refine-one', 'molecule.json', 'packings.json', '1', '--method', 'none', '-o', 'r1.json'],
    ['refine-merge', 'packings.json', 'plan.txt', 'r1.json', '-o', 'merged.json'],
    ['energy', 'molecule.json', benzene, '-o', 'energies.json'],
    [
      'report',
      'molecule.json',
      'packings.json',
      '--top',
      '2',
      '--experiment',
      benzene,
      '-o',
      'report',
    ],
  ];
  for (const step of steps) {
    const { status, stderr } = run(...step);
    expect(`${step[0]} ${stderr}${status}`).toBe(`${step[0]} 0`);
  }
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  expect(read('parts.json')).toBe(read('packings.json'));
  expect(readdirSync(join(folder, 'report')).toSorted()).toEqual([
    'comparison.json',
    'landscape.svg',
    'rank-001.cif',
    'rank-002.cif',
    'ranking.csv',
    'report.html',
    'summary.json',
  ]);
  const { experiments } = JSON.parse(read('report/summary.json')) as {
    experiments: { name: string; isFound: boolean; rank: number; sentence: string }[];
  };
  expect(experiments).toMatchObject([{ name: 'benzene', rank: expect.any(Number) }]);
  expect(read('report/ranking.csv').trim().split('\n')).toHaveLength(
    1 + (JSON.parse(read('packings.json')) as { packings: unknown[] }).packings.length,
  );
  // The crystals as CIF files are the crystals of the landscape: their lattice energies agree.
  const { status } = run('energy', 'molecule.json', 'report/rank-001.cif', '-o', 'again.json');
  expect(status).toBe(0);
  const [again] = JSON.parse(read('again.json')) as { atExperimentKjPerMol: number }[];
  const { packings } = JSON.parse(read('packings.json')) as {
    packings: { energyKjPerMol: number }[];
  };
  expect(again!.atExperimentKjPerMol).toBeCloseTo(packings[0]!.energyKjPerMol, 2);
  const page = read('report/report.html');
  expect(page).toContain('benzene &lt;1&gt;');
  // From file:// without a network: nothing is fetched.
  expect(page.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(
    /https?:|src=|@import|url\(/,
  );
  expect(read('report/landscape.svg')).toMatch(/^<svg[\s\S]*<\/svg>\n$/);
});

test.each([
  [['molecule', 'C1CC', '-o', 'x.json'], /C1CC/],
  [['molecule', 'missing.xyz', '-o', 'x.json'], /ENOENT/],
  [['search', 'molecule.json'], /Give -o/],
  [['search', 'crystals.json', '-o', 'x.json'], /expected crystal-search\/molecule\/1/],
  [['search', 'molecule.json', '--per-group', '-3', '-o', 'x.json'], /per-group/],
  [
    ['run', 'O', '--experiment', benzene, '-o', 'wrong'],
    /12 atoms \(C H\) in the crystal is not O/,
  ],
  [['dance', '-o', 'x.json'], /no such stage/],
] as const)('%j fails with one line and code 2', (args, message) => {
  const { status, stderr } = run(...args);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/ at .*\.ts/);
  expect(status).toBe(2);
});

test('asked for help, it names every stage', () => {
  const { stdout, status } = run('--help');
  expect(status).toBe(0);
  for (const stage of [
    'molecule',
    'search',
    'relax',
    'cluster',
    'energy',
    'refine-plan',
    'refine-one',
    'refine-merge',
    'report',
    'run',
  ]) {
    expect(stdout).toContain(`\n  ${stage} `);
  }
});
