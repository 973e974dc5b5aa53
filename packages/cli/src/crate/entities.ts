import type { Execution, RunDetail, RunInstance, RunInputs } from '@majorana/protocol';

/** RO-Crate 1.1 with Provenance Run Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5). */
const CONTEXT = [
  'https://w3id.org/ro/crate/1.1/context',
  // The terms used of https://w3id.org/ro/terms/workflow-run: a reader needs no second context.
  {
    environment: 'https://w3id.org/ro/terms/workflow-run#environment',
    sha256: 'https://w3id.org/ro/terms/workflow-run#sha256',
  },
];
const PROFILES = [
  ['https://w3id.org/ro/wfrun/process/0.5', 'Process Run Crate', '0.5'],
  ['https://w3id.org/ro/wfrun/workflow/0.5', 'Workflow Run Crate', '0.5'],
  ['https://w3id.org/ro/wfrun/provenance/0.5', 'Provenance Run Crate', '0.5'],
  ['https://w3id.org/workflowhub/workflow-ro-crate/1.0', 'Workflow RO-Crate', '1.0'],
] as const;
export const WORKFLOW_FILE = 'workflow.yaml';
/** Files that all elements of a step share are listed once when there are more than these. */
const SHARED_MAX = 10;
const UNKNOWN = -1;

export interface Entity {
  '@id': string;
  readonly '@type': string | readonly string[];
  readonly [property: string]: unknown;
}
interface Reference {
  readonly '@id': string;
}
export interface CrateFile {
  readonly path: string;
  readonly object: string;
  readonly sizeBytes: number;
}

export interface CrateOptions {
  /** False: files are named by their hash, and are not in the crate. */
  readonly hasData: boolean;
  /** Undefined: none is stated. */
  readonly license: string | undefined;
  readonly version: string;
}

const ref = (id: string): Reference => ({ '@id': id });
const uriPath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');
const time = (ms: number): string => new Date(ms).toISOString();
const times = (startMs: number | null, endMs: number | null): Record<string, string> => ({
  ...(startMs === null ? {} : { startTime: time(startMs) }),
  ...(endMs === null ? {} : { endTime: time(endMs) }),
});
const actionStatus = (status: string): Reference =>
  ref(
    `http://schema.org/${{ succeeded: 'Completed', failed: 'Failed', cancelled: 'Failed' }[status] ?? 'Active'}ActionStatus`,
  );

/** What a content is called when its file is elsewhere: RFC 6920. */
const hashUri = (object: string): string =>
  `ni:///sha-256;${Buffer.from(object, 'hex').toString('base64url')}`;

/** Collects the entities of one run; files are one entity each, however often they are named. */
export class CrateBuilder {
  readonly #files = new Map<string, CrateFile>();
  readonly #run: RunDetail;
  readonly #options: CrateOptions;
  readonly #entities: Entity[] = [];
  readonly #fileIds = new Map<string, string>();
  readonly #fileEntities = new Map<string, Record<string, unknown>>();
  readonly #paths = new Set<string>([WORKFLOW_FILE, 'ro-crate-metadata.json']);
  readonly #controls: Reference[] = [];
  readonly #instances = new Map<string, RunInstance & { readonly shared: readonly Reference[] }>();
  readonly #steps = new Map<string, { readonly step: string; readonly tool: string }>();

  constructor(run: RunDetail, options: CrateOptions) {
    this.#run = run;
    this.#options = options;
  }

  /** A free path that is not below a file of the same name. */
  #freePath(wanted: string): string {
    let path = wanted;
    for (let at = 2; this.#paths.has(path); at += 1) path = `${wanted}.${at}`;
    this.#paths.add(path);
    return path;
  }

  #file(path: string, object: string, sizeBytes?: number): Reference {
    const known = this.#fileIds.get(object);
    if (known !== undefined) {
      if (sizeBytes !== undefined) this.setSize(object, sizeBytes);
      return ref(known);
    }
    const place = this.#freePath(path);
    const id = this.#options.hasData ? uriPath(place) : hashUri(object);
    const entity = {
      '@id': id,
      '@type': 'File',
      name: place.slice(place.lastIndexOf('/') + 1),
      alternateName: place,
      sha256: object,
      ...(sizeBytes === undefined ? {} : { contentSize: `${sizeBytes}` }),
    };
    this.#fileIds.set(object, id);
    this.#fileEntities.set(object, entity);
    this.#entities.push(entity);
    this.#files.set(object, { path: place, object, sizeBytes: sizeBytes ?? UNKNOWN });
    return ref(id);
  }

  get files(): CrateFile[] {
    return [...this.#files.values()];
  }

  /** Files that were only named by what they hold. */
  unsized(): string[] {
    return this.files.filter(({ sizeBytes }) => sizeBytes === UNKNOWN).map(({ object }) => object);
  }

  setSize(object: string, sizeBytes: number): void {
    const file = this.#files.get(object)!;
    this.#files.set(object, { ...file, sizeBytes });
    this.#fileEntities.get(object)!['contentSize'] = `${sizeBytes}`;
  }

  #values(under: string, values: Readonly<Record<string, string>>): Reference[] {
    return Object.entries(values).map(([name, value]) => {
      const id = `#value/${under}/${encodeURIComponent(name)}`;
      this.#entities.push({ '@id': id, '@type': 'PropertyValue', name, value });
      return ref(id);
    });
  }

  /** The step and the program it runs; called once for each instance, before its executions. */
  addInstance(instance: RunInstance): void {
    const { path, stepName, argv, tools, inputs } = instance;
    if (!this.#steps.has(stepName)) {
      const step = `${WORKFLOW_FILE}#step/${uriPath(stepName)}`;
      const tool = `#program/${uriPath(stepName)}`;
      this.#steps.set(stepName, { step, tool });
      const needs = Object.entries(tools).map(([name, softwareVersion]) => {
        const id = `#tool/${encodeURIComponent(name)}@${encodeURIComponent(softwareVersion)}`;
        this.#addOnce({ '@id': id, '@type': 'SoftwareApplication', name, softwareVersion });
        return ref(id);
      });
      const position = this.#steps.size;
      this.#entities.push(
        { '@id': step, '@type': 'HowToStep', name: stepName, position, workExample: ref(tool) },
        {
          '@id': tool,
          '@type': 'SoftwareApplication',
          name: argv[0] ?? stepName,
          description: argv.join(' '),
          ...(needs.length === 0 ? {} : { softwareRequirements: needs }),
        },
      );
    }
    const files = inputs.map((one) => this.#file(`${path}/in/${one.path}`, one.object));
    const isCollected = files.length > SHARED_MAX && instance.elementCount > 1;
    const id = `#inputs/${uriPath(path)}`;
    if (isCollected) {
      const name = `what every element of ${path} reads`;
      this.#entities.push({ '@id': id, '@type': 'Collection', name, hasPart: files });
    }
    this.#instances.set(path, { ...instance, shared: isCollected ? [ref(id)] : files });
  }

  readonly #once = new Set<string>();
  #addOnce(entity: Entity): void {
    if (this.#once.has(entity['@id'])) return;
    this.#once.add(entity['@id']);
    this.#entities.push(entity);
  }

  addExecution(execution: Execution): void {
    const { path, position, startedAtMs, endedAtMs, agentId } = execution;
    const instance = this.#instances.get(path)!;
    const { step, tool } = this.#steps.get(instance.stepName)!;
    const place = `${uriPath(path)}/${position}`;
    const isSingle = instance.elementCount === 1;
    const folder = isSingle ? path : `${path}/${position}`;
    const id = `#execution/${place}`;
    const made = execution.outputs.map((one) =>
      this.#file(`${folder}/${one.path}`, one.object, one.sizeBytes),
    );
    const own = execution.inputs.map((one) => this.#file(`${folder}/in/${one.path}`, one.object));
    const status = actionStatus(execution.isSuccess ? 'succeeded' : 'failed');
    const span = times(startedAtMs, endedAtMs);
    if (agentId !== null) {
      const name = agentId;
      this.#addOnce({ '@id': `#machine/${encodeURIComponent(name)}`, '@type': 'Place', name });
    }
    const environment = this.#values(`${place}/environment`, execution.env);
    const { attemptId, isReused } = execution;
    this.#entities.push(
      {
        '@id': id,
        '@type': 'CreateAction',
        name: `${path}${isSingle ? '' : ` ${position}`}`,
        description: execution.argv.join(' '),
        identifier: [...(attemptId === null ? [] : [attemptId]), execution.key],
        instrument: ref(tool),
        agent: ref('#user'),
        object: [...instance.shared, ...own, ...this.#values(place, execution.parameters)],
        result: made,
        actionStatus: status,
        ...span,
        ...(execution.isSuccess ? {} : { error: execution.reason ?? 'it never began' }),
        ...(agentId === null ? {} : { location: ref(`#machine/${encodeURIComponent(agentId)}`) }),
        ...(environment.length === 0 ? {} : { environment }),
        ...(isReused ? { disambiguatingDescription: 'an earlier result with the same key' } : {}),
      },
      {
        '@id': `#control/${place}`,
        '@type': 'ControlAction',
        name: `orchestrates ${path} ${position}`,
        instrument: ref(step),
        object: ref(id),
        actionStatus: status,
        ...span,
      },
    );
    this.#controls.push(ref(`#control/${place}`));
  }

  #parameter(
    kind: 'input' | 'output',
    name: string,
    examples: readonly Reference[],
    additionalType: string,
  ): Reference {
    const id = `${WORKFLOW_FILE}#${kind}/${encodeURIComponent(name)}`;
    this.#entities.push({
      '@id': id,
      '@type': 'FormalParameter',
      name,
      additionalType,
      conformsTo: ref('https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE'),
      ...(examples.length === 0 ? {} : { workExample: examples }),
    });
    return ref(id);
  }

  /** Several files of one parameter are a collection: a parameter has one value. */
  #together(name: string, files: readonly Reference[]): readonly Reference[] {
    if (files.length < 2) return files;
    const id = `#files/${encodeURIComponent(name)}`;
    this.#entities.push({ '@id': id, '@type': 'Collection', name, hasPart: files });
    return [ref(id)];
  }

  #inputs({ values, files }: RunInputs): { parameters: Reference[]; given: Reference[] } {
    const parameters: Reference[] = [];
    const given: Reference[] = [];
    for (const [name, value] of Object.entries(values)) {
      const examples = this.#values('inputs', { [name]: value });
      parameters.push(this.#parameter('input', name, examples, 'Text'));
      given.push(...examples);
    }
    for (const [name, some] of Object.entries(files)) {
      const all = some.map((one) => this.#file(`inputs/${name}/${one.path}`, one.object));
      const examples = this.#together(`input ${name}`, all);
      const type = all.length > 1 ? 'Collection' : 'File';
      parameters.push(this.#parameter('input', name, examples, type));
      given.push(...examples);
    }
    return { parameters, given };
  }

  #outputs(files: readonly CrateFile[]): { parameters: Reference[]; made: Reference[] } {
    const byName = Map.groupBy(files, ({ path }) => path.split('/')[0]!);
    const parameters: Reference[] = [];
    const made: Reference[] = [];
    for (const [name, some] of byName) {
      const all = some.map((one) => this.#file(`outputs/${one.path}`, one.object, one.sizeBytes));
      const examples = this.#together(`output ${name}`, all);
      const type = all.length > 1 ? 'Collection' : 'File';
      parameters.push(this.#parameter('output', name, examples, type));
      made.push(...examples);
    }
    return { parameters, made };
  }

  /** Inputs and outputs of the run itself; before `finish`. */
  addRun(inputs: RunInputs, outputs: readonly CrateFile[]): void {
    const { parameters: input, given } = this.#inputs(inputs);
    const { parameters: output, made } = this.#outputs(outputs);
    const round = this.#run.rounds.at(-1)!;
    const run = `#${this.#run.id}`;
    const common = {
      agent: ref('#user'),
      actionStatus: actionStatus(round.status),
      ...times(round.startedAtMs, round.endedAtMs),
    };
    const steps = [...this.#steps.values()];
    this.#entities.push(
      {
        '@id': WORKFLOW_FILE,
        '@type': ['File', 'SoftwareSourceCode', 'ComputationalWorkflow', 'HowTo'],
        name: this.#run.name,
        conformsTo: ref('https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE'),
        encodingFormat: 'application/yaml',
        programmingLanguage: ref('#language'),
        input,
        output,
        step: steps.map(({ step }) => ref(step)),
        hasPart: steps.map(({ tool }) => ref(tool)),
      },
      {
        '@id': run,
        '@type': 'CreateAction',
        name: this.#run.id,
        instrument: ref(WORKFLOW_FILE),
        object: given,
        result: made,
        ...common,
      },
      {
        '@id': '#orchestration',
        '@type': 'OrganizeAction',
        name: `Majorana runs ${this.#run.id}`,
        instrument: ref('#engine'),
        object: this.#controls,
        result: ref(run),
        ...common,
      },
    );
  }

  #root(): Entity {
    const round = this.#run.rounds.at(-1)!;
    const { id, name } = this.#run;
    const collections = this.#entities.filter((one) => one['@type'] === 'Collection');
    return {
      '@id': './',
      '@type': 'Dataset',
      name: `${name}, ${id}`,
      description: `The workflow ${name} and its run ${id}: what it ran, on what, and what it made.`,
      datePublished: time(round.endedAtMs ?? round.startedAtMs),
      license: ref(this.#options.license ?? '#license'),
      conformsTo: PROFILES.map(([profile]) => ref(profile)),
      mainEntity: ref(WORKFLOW_FILE),
      hasPart: [ref(WORKFLOW_FILE), ...[...this.#fileIds.values()].map(ref)],
      mentions: [
        ref(`#${id}`),
        ref('#orchestration'),
        ...collections.map((one) => ref(one['@id'])),
      ],
    };
  }

  #head(): Entity[] {
    const { license, version } = this.#options;
    const name = license ?? 'No license is stated';
    return [
      {
        '@id': 'ro-crate-metadata.json',
        '@type': 'CreativeWork',
        conformsTo: [ref('https://w3id.org/ro/crate/1.1'), ref(PROFILES[3][0])],
        about: ref('./'),
      },
      this.#root(),
      ...PROFILES.map(([id, title, number]) => ({
        '@id': id,
        '@type': 'CreativeWork',
        name: title,
        version: number,
      })),
      { '@id': license ?? '#license', '@type': 'CreativeWork', name, description: name },
      { '@id': '#user', '@type': 'Person', name: this.#run.user },
      { '@id': '#language', '@type': 'ComputerLanguage', name: 'Majorana workflow', version },
      {
        '@id': '#engine',
        '@type': 'SoftwareApplication',
        name: 'Majorana',
        softwareVersion: version,
      },
    ];
  }

  /** The whole document, a piece for each entity: for 200,000 executions no string can hold it. */
  *document(): Generator<string, void, undefined> {
    yield `{"@context": ${JSON.stringify(CONTEXT, null, 2)},\n"@graph": [\n`;
    let before = '';
    for (const entity of [...this.#head(), ...this.#entities]) {
      yield `${before}${JSON.stringify(entity, null, 2)}`;
      before = ',\n';
    }
    yield '\n]}\n';
  }
}
