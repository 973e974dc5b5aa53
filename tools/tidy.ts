import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { TASK_STATES } from '@majorana/core';
import type { SourceFile } from './repository.ts';
import {
  findFiles,
  readFiles,
  readJson,
  readSources,
  readText,
  resolveOurs,
  specifiersOf,
} from './repository.ts';

/** Each check answers with what is wrong, one sentence for each place; empty is right. */
export type Check = () => string[];

interface PackageFile {
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

/** Tests, and the helpers that only tests import. */
const isTest = (file: string): boolean =>
  /\.(test|bench|conformance)\.tsx?$|\/test-[\w-]+\.ts$/.test(file);
const packageOf = (file: string): string | undefined =>
  /^(?:packages|apps)\/([^/]+)\//.exec(file)?.[1];

/** Package -> the packages it may import, from the table in ARCHITECTURE.md. */
export function readImportTable(markdown: string): Map<string, ReadonlySet<string> | 'all'> {
  const rows = [...markdown.matchAll(/^\|\s*([a-z-]+)\s*\|[^|]*\|\s*([a-z, -]*?)\s*\|$/gm)];
  const names = rows.filter(([, name]) => name !== 'package' && !/^-+$/.test(name!));
  return new Map(
    names.map(([, name, list]) => [name!, list === 'all' ? 'all' : new Set(list!.split(', '))]),
  );
}

export const checkImports: Check = () => {
  const table = readImportTable(readText('ARCHITECTURE.md'));
  const complaints = readSources().flatMap((file) => {
    const own = packageOf(file.path);
    const allowed = table.get(own ?? '');
    if (own === undefined || allowed === 'all' || isTest(file.path)) return [];
    if (allowed === undefined) return [`${own} is not in the table of ARCHITECTURE.md`];
    return specifiersOf(file).flatMap((specifier) => {
      const other = packageOf(resolveOurs(file.path, specifier) ?? '');
      const isAllowed = other === undefined || other === own || allowed.has(other);
      return isAllowed ? [] : [`${file.path} imports ${other}, which the table does not allow`];
    });
  });
  return [...new Set(complaints)];
};

/** Where programs and packages begin; everything else must be named by some file. */
const isEntry = (file: string): boolean =>
  /\.(test|bench)\.tsx?$/.test(file) || /(^|\/)(main|index|vitest(\.\w+)?\.config)\.ts$/.test(file);

export const checkUnreferenced: Check = () => {
  const sources = readSources();
  const named = new Set(
    sources.flatMap((file) => specifiersOf(file).map((one) => resolveOurs(file.path, one))),
  );
  // Programs that are started by hand or by another one are named in words.
  const words = [...readFiles('**/*.md', '**/package.json', '.ci/run'), ...sources];
  const isNamed = ({ path: file }: SourceFile): boolean =>
    named.has(file) ||
    words.some(
      ({ path: other, text }) => other !== file && text.includes(`/${path.basename(file)}`),
    ) ||
    words.some(({ text }) => text.includes(`'${path.basename(file)}'`));
  return sources
    .filter((file) => !isEntry(file.path) && !isNamed(file))
    .map(({ path: file }) => `${file} is used by nothing`);
};

const withoutCode = (markdown: string): string =>
  markdown.replaceAll(/^```[\s\S]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, '');

export const checkMarkdown: Check = () =>
  readFiles('**/*.md').flatMap(({ path: file, text }) => {
    const prose = withoutCode(text);
    const titles = [...prose.matchAll(/^# /gm)].length;
    const links = [...prose.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map((match) => match[1]!);
    const broken = links.filter(
      (link) =>
        !/^[a-z]+:/.test(link) &&
        !existsSync(path.join(import.meta.dirname, '..', path.dirname(file), link)),
    );
    return [
      ...(titles === 1 ? [] : [`${file} has ${titles} titles (#); one is right`]),
      ...broken.map((link) => `${file} links to ${link}, which is not there`),
    ];
  });

function isUsed(name: string, folder: string, sources: readonly SourceFile[]): boolean {
  if (name.startsWith('@types/')) return true;
  const inFolder = sources.filter((file) => folder === '.' || file.path.startsWith(`${folder}/`));
  const texts = [
    ...inFolder.map(({ text }) => text),
    ...readFiles('.oxlintrc.json').map(({ text }) => text),
  ];
  const { scripts = {} } = readJson<{ scripts?: Record<string, string> }>(
    path.join(folder, 'package.json'),
  );
  // The type-aware half of a linter, or a compiler, is named by its command.
  const command = { typescript: 'tsc', 'oxlint-tsgolint': 'type-aware' }[name] ?? name;
  return (
    texts.some((text) => text.includes(`'${name}'`) || text.includes(`'${name}/`)) ||
    Object.values(scripts).some((script) => script.includes(command))
  );
}

export const checkDependencies: Check = () => {
  const sources = readSources();
  return findFiles('{packages,apps}/*/package.json')
    .concat('package.json')
    .flatMap((file) => {
      const { dependencies, devDependencies, optionalDependencies } = readJson<PackageFile>(file);
      const used = { ...dependencies, ...devDependencies };
      const loose = Object.entries({ ...used, ...optionalDependencies })
        .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
        .map(([name, version]) => `${file}: ${name} ${version} is not an exact version`);
      const idle = Object.keys(used)
        .filter((name) => !isUsed(name, path.dirname(file), sources))
        .map((name) => `${file}: ${name} is imported by nothing`);
      return [...loose, ...idle];
    });
};

/** Codes that the API's code makes, each a string beside the status it goes with. */
export function errorCodesInCode(): Set<string> {
  const texts = readFiles('packages/control-plane/src/**/*.ts').filter(
    ({ path: file }) => !isTest(file),
  );
  const patterns = [/ProblemError\(\s*[\w.]+,\s*'(\w+)'/g, /\[\d{3}, '(\w+)'[\],]/g];
  return new Set(
    texts.flatMap(({ text }) =>
      patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1]!)),
    ),
  );
}

export const checkErrorCodes: Check = () => {
  const inCode = errorCodesInCode();
  const section = readText('docs/reference/errors.md').split('## Codes of the API')[1] ?? '';
  const inDocs = new Set([...section.matchAll(/^\| `(\w+)` +\|/gm)].map((match) => match[1]!));
  return [
    ...[...inCode]
      .filter((code) => !inDocs.has(code))
      .map((code) => `${code} is not in docs/reference/errors.md`),
    ...[...inDocs]
      .filter((code) => !inCode.has(code))
      .map((code) => `${code} in errors.md is made by no code`),
  ];
};

/** The last word on each table: a later migration may replace a constraint. */
export const checkTaskStates: Check = () => {
  const expected = TASK_STATES.toSorted().join(', ');
  return readFiles('packages/store/migrations/*.sql').flatMap(({ path: file, text }) =>
    [...text.matchAll(/check \(\w*state in \(([^)]*)\)/g)].flatMap(([, list]) => {
      const states = [...list!.matchAll(/'(\w+)'/g)].map((match) => match[1]!).toSorted();
      const isRight = !states.includes('leased') || states.join(', ') === expected;
      return isRight ? [] : [`${file} has the states ${states.join(', ')}; core has ${expected}`];
    }),
  );
};

export const MIGRATION_HASHES = 'tools/migrations.sha256';

/** In the form of sha256sum, one line for each migration. */
export const migrationHashes = (): string[] =>
  readFiles('packages/store/migrations/*.sql').map(
    ({ path: file, text }) =>
      `${createHash('sha256').update(text).digest('hex')}  ${path.basename(file)}`,
  );

export const checkMigrations: Check = () => {
  const known = readText(MIGRATION_HASHES).trim().split('\n');
  const now = migrationHashes();
  const misnumbered = now.filter(
    (line, at) => Number(/ {2}(\d{4})-/.exec(line)?.[1] ?? Number.NaN) !== at + 1,
  );
  return [
    ...known.filter((line) => !now.includes(line)).map((line) => `${line}: was changed or removed`),
    ...now
      .filter((line) => !known.includes(line))
      .map((line) => `${line}: is new; add this line to ${MIGRATION_HASHES}`),
    ...misnumbered.map((line) => `${line}: the numbers are not 0001, 0002, …`),
  ];
};

/** Programs for people at a terminal, who read what they print. */
const mayPrint = (file: string): boolean =>
  /^(packages\/cli\/|bench\/|tools\/|examples\/)/.test(file) ||
  /\/(main|[\w-]+-many|[\w-]+\.bench)\.ts$/.test(file);

const FORBIDDEN: readonly [RegExp, string, (file: string) => boolean][] = [
  [/\b(test|it|describe)\.(only|skip)\b/, 'leaves tests out', () => true],
  [/\bconsole\.log\(/, 'prints', (file) => !mayPrint(file)],
  [/\b(TODO|FIXME|XXX)\b/, 'holds a note of unfinished work', () => true],
];

export const checkForbidden: Check = () =>
  [...readSources(), ...readFiles('**/*.md', 'packages/**/*.{sql,c}')]
    .filter(({ path: file }) => file !== 'tools/tidy.ts')
    .flatMap(({ path: file, text }) =>
      FORBIDDEN.filter(([pattern, , isMeant]) => isMeant(file) && pattern.test(text)).map(
        ([pattern, what]) => `${file} ${what} (${pattern.source})`,
      ),
    );

interface LockEntry {
  readonly version?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly optionalDependencies?: Record<string, string>;
}

/** npm leaves out what is for other platforms when it may, and `npm ci` then fails there. */
export const checkLock: Check = () => {
  const { packages } = readJson<{ packages: Record<string, LockEntry> }>('package-lock.json');
  return Object.entries(packages).flatMap(([name, entry]) => [
    ...Object.entries(entry.optionalDependencies ?? {})
      .filter(
        ([other]) => !Object.keys(packages).some((key) => key.endsWith(`node_modules/${other}`)),
      )
      .map(([other]) => `package-lock.json lacks ${other}, an option of ${name || 'the root'}`),
    ...(entry.resolved?.includes('://') === true
      ? [`package-lock.json names a download host for ${name}`]
      : []),
  ]);
};
