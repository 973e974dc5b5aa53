/** `{field}` in arguments, environment and file names; `{{` and `}}` are literal braces. */
export type TaskFields = Readonly<Record<string, string>>;

export interface PlaceholderError {
  readonly name: string;
  /** Offset in the text, from 0. */
  readonly position: number;
  readonly why: string;
}

const token = /\{\{|\}\}|\{([A-Za-z_][\w.]*)\}/g;

/** Every placeholder that no field answers, with its position. */
export function findUnknownPlaceholders(
  text: string,
  names: ReadonlySet<string>,
): PlaceholderError[] {
  const errors: PlaceholderError[] = [];
  for (const match of text.matchAll(token)) {
    const name = match[1];
    if (name === undefined || names.has(name)) continue;
    const known = [...names].toSorted().join(', ');
    errors.push({
      name,
      position: match.index,
      why: `{${name}} at position ${match.index} is not a field of this job; known: ${known}. Write {{${name}}} for literal braces`,
    });
  }
  return errors;
}

export function fillPlaceholders(text: string, fields: TaskFields): string {
  return text.replace(token, (whole, name: string | undefined) => {
    if (name === undefined) return whole === '{{' ? '{' : '}';
    return fields[name] ?? whole;
  });
}

/** As `fillPlaceholders`, of a text that is filled for many: it is taken apart once. */
export function placeholderFiller(text: string): (fields: TaskFields) => string {
  const names: string[] = [];
  const between = [''];
  let end = 0;
  for (const match of text.matchAll(token)) {
    const [whole, name] = match;
    between[names.length] += text.slice(end, match.index);
    end = match.index + whole.length;
    if (name === undefined) between[names.length] += whole === '{{' ? '{' : '}';
    else between[names.push(name)] = '';
  }
  between[names.length] += text.slice(end);
  return (fields) =>
    names.reduce(
      (filled, name, at) => filled + (fields[name] ?? `{${name}}`) + between[at + 1]!,
      between[0]!,
    );
}

/** Fills what is known and leaves the rest to be filled later; literal braces stay literal. */
export function bindPlaceholders(text: string, fields: TaskFields): string {
  return text.replace(token, (whole, name: string | undefined) =>
    name !== undefined && Object.hasOwn(fields, name) ? literal(fields[name]!) : whole,
  );
}

/** A text that stays as it is when placeholders are filled. */
export const literal = (text: string): string => text.replaceAll(/[{}]/g, '$&$&');
