import type { TaskFields } from '../placeholder.ts';
import { fillPlaceholders, findUnknownPlaceholders, placeholderFiller } from '../placeholder.ts';
import type { TaskStep } from './definition.ts';

const NO_FIELDS: ReadonlySet<string> = new Set();

/** What the elements of a step's instance have in common; `{field}` is left for what differs. */
export interface Template {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly outputs: readonly string[];
  readonly tools: Readonly<Record<string, string>>;
  /** The same files for every element; paths are written out. */
  readonly inputs: readonly { readonly path: string; readonly object: string }[];
  /** Files by an element's fields: both may hold placeholders. */
  readonly elementInputs: readonly { readonly path: string; readonly object: string }[];
  /** The image it runs in, by digest if it is to be exact; absent: a program of the machine. */
  readonly image?: string | undefined;
  /** On how many nodes, and with how many processes on each; absent: a program alone. */
  readonly gang?: TaskStep['gang'];
  /** What saves a task's state changes no result: it is here to be filled, and not in the key. */
  readonly checkpoint?: TaskStep['checkpoint'];
  /** Of a step that is not repeatable: the one run and iteration that may find its result again. */
  readonly onlyFor: string | null;
}

/** Each by a name for a person; what is not here cannot change a result, or must be declared. */
export type KeyParts = Readonly<Record<string, string>>;

/** Canonical: the same for the same content, whatever the order in which it was written. */
const entriesText = (record: Readonly<Record<string, string>>): string =>
  JSON.stringify(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1)));

const inputEntries = (inputs: Template['inputs']): Record<string, string> =>
  Object.fromEntries(inputs.map(({ path, object }) => [path, object]));

const fillEntries = (
  record: Readonly<Record<string, string>>,
  fields: TaskFields,
): Record<string, string> =>
  Object.fromEntries(
    Object.entries(record).map(([name, text]) => [name, fillPlaceholders(text, fields)]),
  );

const filledInputs = (template: Template, fields: TaskFields): Template['inputs'] =>
  template.elementInputs.map(({ path, object }) => ({
    path: fillPlaceholders(path, fields),
    object: fillPlaceholders(object, fields),
  }));

/** A part of the key as JSON; without placeholders it is the same for all, and made once. */
function keyPart(
  texts: readonly string[],
  make: (fields: TaskFields) => unknown,
): (fields: TaskFields) => string {
  const isShared = texts.every((text) => findUnknownPlaceholders(text, NO_FIELDS).length === 0);
  if (!isShared) return (fields) => JSON.stringify(make(fields));
  const shared = JSON.stringify(make({}));
  return () => shared;
}

/**
 * Keys of the elements of a template. What all share is made and hashed once: a fan-out of 100,000
 * over a folder of 1,000 files would otherwise hash these 100,000 times.
 */
export function keyMaker(
  template: Template,
  hash: (text: string) => string,
): (fields: TaskFields) => string {
  const { argv, env, outputs, tools, elementInputs, onlyFor, image, gang } = template;
  const inputs = hash(entriesText(inputEntries(template.inputs)));
  const common = JSON.stringify(['majorana step 1', entriesText(tools), inputs, onlyFor]);
  // Last, and only what there is: keys of results without stay what they were.
  const inside = [
    ...(image === undefined ? [] : [['image', image]]),
    ...(gang === undefined ? [] : [['gang', gang.nodes, gang.ranksPerNode]]),
  ].map((part) => `,${JSON.stringify(part)}`);
  const fillAll = (texts: readonly string[]): ((fields: TaskFields) => string[]) => {
    const fillers = texts.map(placeholderFiller);
    return (fields) => fillers.map((fill) => fill(fields));
  };
  const own = [
    keyPart(argv, fillAll(argv)),
    keyPart(Object.values(env), (fields) => entriesText(fillEntries(env, fields))),
    keyPart(outputs, fillAll(outputs)),
    keyPart(
      elementInputs.flatMap(({ path, object }) => [path, object]),
      (fields) => entriesText(inputEntries(filledInputs(template, fields))),
    ),
  ];
  return (fields) =>
    hash(`${common.slice(0, -1)},${own.map((part) => part(fields)).join(',')}${inside.join('')}]`);
}

const gangParts = (gang: Template['gang']): [string, string][] =>
  gang === undefined
    ? []
    : [
        ['nodes', String(gang.nodes)],
        ['ranks per node', String(gang.ranksPerNode)],
      ];

/** The same parts one by one, for comparing. */
export function keyParts(template: Template, fields: TaskFields): KeyParts {
  const [program = '', ...words] = template.argv.map((text) => fillPlaceholders(text, fields));
  const inputs = [...template.inputs, ...filledInputs(template, fields)];
  const named = (what: string, record: Readonly<Record<string, string>>): [string, string][] =>
    Object.entries(record).map(([name, value]) => [`${what} ${name}`, value]);
  return Object.fromEntries([
    ['program', program],
    ...(template.image === undefined ? [] : [['image', template.image] as const]),
    ...gangParts(template.gang),
    ...words.map((word, at): [string, string] => [`argument ${at + 1}`, word]),
    ...named('variable', fillEntries(template.env, fields)),
    ...named('tool', template.tools),
    ...named('input', inputEntries(inputs)),
    ['outputs', template.outputs.map((text) => fillPlaceholders(text, fields)).join(' ')],
    ...(template.onlyFor === null ? [] : [['not repeatable', template.onlyFor] as const]),
  ]);
}

export interface KeyDifference {
  readonly part: string;
  /** Null: it was not there. */
  readonly before: string | null;
  readonly now: string | null;
}

export function differences(before: KeyParts, now: KeyParts): KeyDifference[] {
  const names = new Set([...Object.keys(now), ...Object.keys(before)]);
  return [...names]
    .filter((name) => before[name] !== now[name])
    .map((part) => ({ part, before: before[part] ?? null, now: now[part] ?? null }));
}

/** Of several candidates the one with the fewest differences; of equals the first. */
export function nearest<T extends { readonly parts: KeyParts }>(
  candidates: readonly T[],
  now: KeyParts,
): T | undefined {
  const ranked = candidates.map((one) => ({ one, count: differences(one.parts, now).length }));
  return ranked.toSorted((a, b) => a.count - b.count)[0]?.one;
}
