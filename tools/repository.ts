import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** A file of the repository, by its path from the root. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

const root = path.join(import.meta.dirname, '..');
const exclude = (name: string): boolean => /(^|\/)(node_modules|\.git)$/.test(name);

export const readText = (file: string): string => readFileSync(path.join(root, file), 'utf8');
export const readJson = <T>(file: string): T => JSON.parse(readText(file)) as T;

export const findFiles = (pattern: string): string[] =>
  globSync(pattern, { cwd: root, exclude }).toSorted();

export const readFiles = (...patterns: readonly string[]): SourceFile[] =>
  patterns
    .flatMap((pattern) => findFiles(pattern))
    .map((file) => ({ path: file, text: readText(file) }));

export const readSources = (): SourceFile[] =>
  readFiles('{packages,apps,tools,e2e,bench,examples}/**/*.{ts,tsx}', '*.ts');

/** Every module that a file names: imported, loaded later, or resolved to be started. */
export function specifiersOf({ text }: SourceFile): string[] {
  const pattern =
    /(?:\bfrom|\bimport|\bimport\(|\bnew URL\(|\bjoin\(\w+,|resolve\(|#addNode\([^)]*?,)\s*'([^']+)'/g;
  return [...text.matchAll(pattern)].map((match) => match[1]!);
}

/** The file of ours that a specifier means, as a path from the root; undefined for other packages. */
export function resolveOurs(from: string, specifier: string): string | undefined {
  const own = /^@majorana\/([\w-]+)(?:\/(.+))?$/.exec(specifier);
  if (own !== null) return `packages/${own[1]}/src/${own[2] ?? 'index'}.ts`;
  if (specifier.startsWith('.')) return path.join(path.dirname(from), specifier);
  return undefined;
}
