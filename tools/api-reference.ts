/** The parts of an OpenAPI document and of JSON Schema that our own schemas make. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
}
interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
  readonly description?: string;
}
interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Schema;
}
interface Operation {
  readonly summary?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: Content;
  readonly responses: Readonly<Record<string, Content>>;
}
export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const SAFE_MAX = Number.MAX_SAFE_INTEGER;
const escape = (text: string): string => text.replaceAll('|', String.raw`\|`).replaceAll('\n', ' ');

const alternatives = (schema: Schema): readonly Schema[] => schema.anyOf ?? schema.oneOf ?? [];
/** `T | null` is T that may be null, not two things. */
const withoutNull = (schema: Schema): readonly Schema[] =>
  alternatives(schema).filter((one) => one.type !== 'null');
const isNullable = (schema: Schema): boolean =>
  alternatives(schema).some((one) => one.type === 'null');

function typeOf(schema: Schema): string {
  const others = withoutNull(schema);
  if (others.length > 0)
    return [...new Set(others.map(typeOf)), ...(isNullable(schema) ? ['null'] : [])].join(' or ');
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((one) => `\`${String(one)}\``).join(', ');
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`;
  const values = schema.additionalProperties;
  if (typeof values === 'object' && schema.properties === undefined)
    return `map of ${typeOf(values)}`;
  return [schema.type ?? 'anything'].flat().join(' or ');
}

function limitsOf(schema: Schema): string {
  const bound = (name: string, value: number | undefined): string[] =>
    value === undefined || Math.abs(value) === SAFE_MAX ? [] : [`${name} ${value}`];
  return [
    [...bound('from', schema.minimum), ...bound('to', schema.maximum)].join(' '),
    ...bound('length at least', schema.minLength ?? schema.minItems),
    ...bound('length at most', schema.maxLength ?? schema.maxItems),
    ...(schema.pattern === undefined || schema.pattern.length > 60
      ? []
      : [`\`${schema.pattern}\``]),
    ...(schema.default === undefined ? [] : [`default \`${JSON.stringify(schema.default)}\``]),
  ]
    .filter((part) => part !== '')
    .join(', ');
}

function row(name: string, schema: Schema, isRequired: boolean): string {
  const meaning = [isRequired ? 'needed' : '', schema.description ?? '', limitsOf(schema)].filter(
    (part) => part !== '',
  );
  return `| \`${name}\` | ${escape(typeOf(schema))} | ${escape(meaning.join('; '))} |`;
}

/** One row for each field, nested ones by their path; the forms of a union one after the other. */
function fieldRows(schema: Schema, prefix: string, isInput: boolean): string[] {
  const others = withoutNull(schema);
  if (others.length > 0) return others.flatMap((one) => fieldRows(one, prefix, isInput));
  if (schema.type === 'array') return fieldRows(schema.items ?? {}, `${prefix}[]`, isInput);
  const { required = [] } = schema;
  return Object.entries(schema.properties ?? {}).flatMap(([name, child]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    return [
      row(path, child, isInput && required.includes(name)),
      ...fieldRows(child, path, isInput),
    ];
  });
}

function table(title: string, rows: readonly string[]): string[] {
  if (rows.length === 0) return [];
  // The forms of a union share fields; each is told once.
  return [`${title}`, '', '| field | type | |', '| --- | --- | --- |', ...new Set(rows), ''];
}

function body(title: string, { content = {} }: Content, isInput: boolean): string[] {
  return Object.entries(content).flatMap(([type, { schema }]) => {
    const rows = fieldRows(schema, '', isInput);
    return rows.length === 0
      ? [`${title}: \`${type}\`.`, '']
      : table(`${title}, \`${type}\`:`, rows);
  });
}

function section(method: string, path: string, operation: Operation): string[] {
  const { summary = '', parameters = [], requestBody, responses } = operation;
  const good = Object.entries(responses).filter(([status]) => status.startsWith('2'));
  const given = parameters.map(({ name, schema, required, description }) =>
    row(name, description === undefined ? schema : { ...schema, description }, required === true),
  );
  return [
    `## ${method.toUpperCase()} ${path}`,
    '',
    `${summary}.`,
    '',
    ...table('Parameters:', given),
    ...(requestBody === undefined ? [] : body('Body', requestBody, true)),
    ...good.flatMap(([status, response]) => {
      const told = body(`Answers ${status}`, response, false);
      return told.length === 0 ? [`Answers ${status}.`, ''] : told;
    }),
  ];
}

/** `docs/reference/api.md`, from the document that the server itself gives. */
export function apiReference(document: OpenApi): string {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) => section(method, path, operation)),
  );
  return [
    '# HTTP API',
    '',
    'Written by `npm run docs` from the schemas that check requests and answers; do not edit. A server gives the same as OpenAPI 3.1 at `/api/v1/openapi.json`.',
    '',
    'Every request carries `Authorization: Bearer TOKEN`. The first token is in the data folder, file `token`; `majorana tokens create` makes others. A viewer may read, a member also submit, cancel and retry, an operator also set queues and be an agent, an admin also manage tokens. A token for a project sees only that project.',
    '',
    'Ids are `job_42` and `job_42.17`. Times are milliseconds since 1970, UTC. Pages: hand `next` back as `cursor` (`before` for jobs) until it is null. An error is `application/problem+json`; [errors.md](errors.md) has the codes.',
    '',
    ...operations,
  ].join('\n');
}
