import type { TaskState } from '@majorana/core';
import type {
  AgentView,
  ArtifactPage,
  ClusterSettings,
  ClusterView,
  DatasetDetail,
  DatasetDiff,
  DatasetFiles,
  DatasetPage,
  DatasetPut,
  DatasetPutAnswer,
  DatasetRemoval,
  ExecutionPage,
  FailureGroup,
  JobDetail,
  JobSpecInput,
  JobView,
  LineageGraph,
  LogStream,
  MadeToken,
  NodesPage,
  ParameterSetView,
  QueueSettings,
  QueueView,
  ResumeRequest,
  RetryRequest,
  Role,
  RunDetail,
  RunFile,
  RunInstance,
  RunRequest,
  RunView,
  StepExplanation,
  StoredArtifact,
  TaskDetail,
  TaskPage,
  TokenRequest,
  TokenView,
  UploadState,
} from '@majorana/protocol';
import type { JobEvent } from './events.ts';
import type { CallOptions, ClientOptions } from './request.ts';
import { query, Requester } from './request.ts';

export interface JobFilter {
  readonly before?: number | undefined;
  readonly limit?: number | undefined;
  readonly state?: string | undefined;
  readonly queue?: string | undefined;
  readonly project?: string | undefined;
}
export interface JobPage {
  readonly jobs: JobView[];
  readonly next: number | null;
}
export interface TaskFilter {
  readonly cursor?: string | undefined;
  readonly limit?: number | undefined;
  readonly state?: TaskState | undefined;
}
export interface ArtifactFilter {
  readonly cursor?: string | undefined;
  readonly limit?: number | undefined;
  readonly role?: StoredArtifact['role'] | undefined;
}
export interface LogPart {
  readonly stream?: LogStream | undefined;
  readonly offset?: number | undefined;
  readonly bytesMax?: number | undefined;
  /** Stays open until the attempt has ended. */
  readonly follow?: boolean | undefined;
  readonly attempt?: number | undefined;
}
export interface EventOptions {
  readonly lastEventId?: string | undefined;
  /** False: only the job itself as its counts change; default: every task's steps too. */
  readonly transitions?: boolean | undefined;
}
export interface Me {
  readonly user: string;
  readonly role: Role;
  /** The token is for this project only; null: for all. */
  readonly project: string | null;
}
export interface StateRun {
  readonly state: TaskState;
  readonly count: number;
}
export interface DatasetPageFilter {
  readonly project?: string | undefined;
  readonly cursor?: string | undefined;
  readonly limit?: number | undefined;
}
export interface StoredObject {
  readonly object: string;
  readonly sizeBytes: number;
}

const at = (collection: 'clusters' | 'jobs' | 'tasks' | 'runs' | 'datasets', id: string): string =>
  `/${collection}/${encodeURIComponent(id)}`;

/** Typed access to the HTTP API; needs nothing but fetch. Every call takes an abort signal. */
export class Client {
  readonly #http: Requester;

  constructor(url: string, token: string, options: ClientOptions = {}) {
    this.#http = new Requester(url, token, options);
  }
  get url(): string {
    return this.#http.url;
  }

  /** With an idempotency key a second submission is the first job, so it is safe to repeat. */
  submit(spec: JobSpecInput, options?: CallOptions): Promise<{ id: string; isNew: boolean }> {
    const isRepeatable = spec.idempotencyKey !== undefined;
    return this.#http.sendJson('POST', '/jobs', spec, { ...options, isRepeatable });
  }
  jobs(filter: JobFilter = {}, options?: CallOptions): Promise<JobPage> {
    return this.#http.json(`/jobs${query({ ...filter })}`, options);
  }
  job(id: string, options?: CallOptions): Promise<JobDetail> {
    return this.#http.json(at('jobs', id), options);
  }
  cancelJob(id: string, options?: CallOptions): Promise<{ cancelled: number }> {
    return this.#http.sendJson(
      'POST',
      `${at('jobs', id)}/cancel`,
      {},
      {
        ...options,
        isRepeatable: true,
      },
    );
  }
  retryJob(id: string, which: RetryRequest, options?: CallOptions): Promise<{ retried: number }> {
    return this.#http.sendJson('POST', `${at('jobs', id)}/retry`, which, options);
  }
  tasks(id: string, filter: TaskFilter = {}, options?: CallOptions): Promise<TaskPage> {
    return this.#http.json(`${at('jobs', id)}/tasks${query({ ...filter })}`, options);
  }
  stateMap(id: string, options?: CallOptions): Promise<{ runs: StateRun[] }> {
    return this.#http.json(`${at('jobs', id)}/state-map`, options);
  }
  failures(id: string, options?: CallOptions): Promise<{ groups: FailureGroup[] }> {
    return this.#http.json(`${at('jobs', id)}/failures`, options);
  }
  artifacts(id: string, filter: ArtifactFilter = {}, options?: CallOptions): Promise<ArtifactPage> {
    return this.#http.json(`${at('jobs', id)}/artifacts${query({ ...filter })}`, options);
  }
  /** What has happened to a job and happens, or only after the event with an id, until it has ended. */
  async *events(
    id: string,
    options: CallOptions & EventOptions = {},
  ): AsyncGenerator<JobEvent, void, undefined> {
    const { signal, lastEventId, transitions } = options;
    const headers = {
      accept: 'text/event-stream',
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    };
    const path = `${at('jobs', id)}/events${query({ transitions })}`;
    const response = await this.#http.send(path, { signal, headers });
    // The parser is needed by those who follow a job, not at every start.
    const { readJobEvents } = await import('./events.ts');
    if (response.body !== null) yield* readJobEvents(response.body);
  }

  task(id: string, options?: CallOptions): Promise<TaskDetail> {
    return this.#http.json(at('tasks', id), options);
  }
  cancelTask(id: string, options?: CallOptions): Promise<{ cancelled: number }> {
    return this.#http.sendJson(
      'POST',
      `${at('tasks', id)}/cancel`,
      {},
      {
        ...options,
        isRepeatable: true,
      },
    );
  }
  retryTask(id: string, options?: CallOptions): Promise<{ retried: number }> {
    return this.#http.sendJson('POST', `${at('tasks', id)}/retry`, {}, options);
  }
  logs(id: string, part: LogPart = {}, options?: CallOptions): Promise<Response> {
    return this.#http.send(`${at('tasks', id)}/logs${query({ ...part })}`, options);
  }

  /** Lines of JSON objects, streamed: the server takes in a million of them as they come. */
  createParameterSet(
    lines: ReadableStream<Uint8Array>,
    options?: CallOptions,
  ): Promise<ParameterSetView> {
    const headers = { 'content-type': 'application/x-ndjson' };
    return this.#http.json('/parameter-sets', { method: 'POST', headers, body: lines, ...options });
  }
  /** The same bytes are the same object: safe to repeat. */
  putObject(body: Blob, options?: CallOptions): Promise<StoredObject> {
    const headers = { 'content-type': 'application/octet-stream' };
    const isRepeatable = true;
    return this.#http.json('/objects', { method: 'POST', headers, body, isRepeatable, ...options });
  }
  /** Those of at most 1000 objects that are there. */
  async statObjects(objects: readonly string[], options?: CallOptions): Promise<StoredObject[]> {
    const call = { ...options, isRepeatable: true };
    const answer = this.#http.sendJson<{ objects: StoredObject[] }>(
      'POST',
      '/objects/stat',
      { objects },
      call,
    );
    return (await answer).objects;
  }
  /** From a byte on: the rest of what a broken line has brought. */
  getObject(
    object: string,
    { start = 0, ...options }: CallOptions & { readonly start?: number } = {},
  ): Promise<Response> {
    const headers: Record<string, string> =
      start === 0 ? {} : { range: `bytes=${start}-`, 'if-match': `"${object}"` };
    return this.#http.send(`/objects/${object}`, { ...options, headers });
  }
  /** How much of an object is there. */
  uploadState(object: string, options?: CallOptions): Promise<UploadState> {
    return this.#http.json(`/uploads/${object}`, options);
  }
  /** A piece of an object; `uploadObject` sends all of it, over lines that break. */
  appendUpload(
    object: string,
    at: { readonly offset: number; readonly size: number },
    piece: ReadableStream<Uint8Array>,
    options?: CallOptions,
  ): Promise<UploadState> {
    const headers = { 'content-type': 'application/octet-stream' };
    const path = `/uploads/${object}${query({ ...at })}`;
    return this.#http.json(path, { method: 'PATCH', headers, body: piece, ...options });
  }

  /** With an idempotency key a second request is the first run, so it is safe to repeat. */
  createRun(run: RunRequest, options?: CallOptions): Promise<{ id: string; isNew: boolean }> {
    const isRepeatable = run.idempotencyKey !== undefined;
    return this.#http.sendJson('POST', '/runs', run, { ...options, isRepeatable });
  }
  runs(
    filter: { readonly limit?: number; readonly before?: number } = {},
    options?: CallOptions,
  ): Promise<{ runs: RunView[]; next: number | null }> {
    return this.#http.json(`/runs${query({ ...filter })}`, options);
  }
  run(id: string, options?: CallOptions): Promise<RunDetail> {
    return this.#http.json(at('runs', id), options);
  }
  cancelRun(id: string, options?: CallOptions): Promise<{ id: string }> {
    const path = `${at('runs', id)}/cancel`;
    return this.#http.sendJson('POST', path, {}, { ...options, isRepeatable: true });
  }
  resumeRun(
    id: string,
    change: ResumeRequest,
    options?: CallOptions,
  ): Promise<{ id: string; round: number }> {
    return this.#http.sendJson('POST', `${at('runs', id)}/resume`, change, options);
  }
  explainRun(
    id: string,
    which: { readonly step?: string; readonly round?: number; readonly limit?: number } = {},
    options?: CallOptions,
  ): Promise<{ steps: StepExplanation[] }> {
    return this.#http.json(`${at('runs', id)}/explain${query({ ...which })}`, options);
  }
  /** Files of the run's outputs, or those that a reference such as STEP/FILE names. */
  runFiles(
    id: string,
    which: { readonly from?: string } = {},
    options?: CallOptions,
  ): Promise<{ files: RunFile[] }> {
    return this.#http.json(`${at('runs', id)}/files${query({ ...which })}`, options);
  }

  /** Steps of a run that were run or reused, and what their elements share. */
  runInstances(id: string, options?: CallOptions): Promise<{ instances: RunInstance[] }> {
    return this.#http.json(`${at('runs', id)}/instances`, options);
  }
  executions(
    id: string,
    page: { readonly cursor?: string | undefined; readonly limit?: number } = {},
    options?: CallOptions,
  ): Promise<ExecutionPage> {
    return this.#http.json(`${at('runs', id)}/executions${query({ ...page })}`, options);
  }

  datasets(filter: DatasetPageFilter = {}, options?: CallOptions): Promise<DatasetPage> {
    return this.#http.json(`/datasets${query({ ...filter })}`, options);
  }
  dataset(
    name: string,
    which: { readonly project?: string | undefined; readonly before?: number | undefined } = {},
    options?: CallOptions,
  ): Promise<DatasetDetail> {
    return this.#http.json(`${at('datasets', name)}${query({ ...which })}`, options);
  }
  datasetFiles(
    name: string,
    which: DatasetPageFilter & {
      readonly version?: number | undefined;
      readonly path?: string | undefined;
    } = {},
    options?: CallOptions,
  ): Promise<DatasetFiles> {
    return this.#http.json(`${at('datasets', name)}/files${query({ ...which })}`, options);
  }
  datasetDiff(
    name: string,
    which: DatasetPageFilter & {
      readonly from: number;
      readonly to: number;
      readonly toName?: string | undefined;
    },
    options?: CallOptions,
  ): Promise<DatasetDiff> {
    return this.#http.json(`${at('datasets', name)}/diff${query({ ...which })}`, options);
  }
  /** Lines of JSON objects with path, object and sizeBytes, streamed. */
  putDataset(
    name: string,
    about: DatasetPut,
    lines: ReadableStream<Uint8Array>,
    options?: CallOptions,
  ): Promise<DatasetPutAnswer> {
    const headers = { 'content-type': 'application/x-ndjson' };
    const path = `${at('datasets', name)}/versions${query({ ...about })}`;
    return this.#http.json(path, { method: 'POST', headers, body: lines, ...options });
  }
  /** Outputs of a job or a run as a version: the same again is the same version. */
  copyToDataset(
    name: string,
    copy: Omit<DatasetPut, 'project'> & { readonly source: string },
    project?: string,
    options?: CallOptions,
  ): Promise<DatasetPutAnswer> {
    const path = `${at('datasets', name)}/copies${query({ project })}`;
    return this.#http.sendJson('POST', path, copy, { ...options, isRepeatable: true });
  }
  removeDataset(
    name: string,
    which: {
      readonly version?: number | undefined;
      readonly project?: string | undefined;
      readonly dryRun?: boolean | undefined;
    },
    options?: CallOptions,
  ): Promise<DatasetRemoval> {
    const { version, ...rest } = which;
    const path = version === undefined ? '' : `/versions/${version}`;
    const url = `${at('datasets', name)}${path}${query({ ...rest })}`;
    return this.#http.json(url, { method: 'DELETE', ...options });
  }

  /** What a file came from, or what was made from it. */
  lineage(
    of: string,
    which: {
      readonly direction?: 'up' | 'down' | undefined;
      readonly depth?: number | undefined;
      readonly width?: number | undefined;
      readonly project?: string | undefined;
    } = {},
    options?: CallOptions,
  ): Promise<LineageGraph> {
    return this.#http.json(`/lineage${query({ of, ...which })}`, options);
  }

  queues(options?: CallOptions): Promise<{ queues: QueueView[] }> {
    return this.#http.json('/queues', options);
  }
  setQueue(
    name: string,
    settings: Partial<QueueSettings>,
    options?: CallOptions,
  ): Promise<QueueView> {
    const path = `/queues/${encodeURIComponent(name)}`;
    return this.#http.sendJson('PUT', path, settings, { ...options, isRepeatable: true });
  }
  agents(options?: CallOptions): Promise<{ agents: AgentView[] }> {
    return this.#http.json('/agents', options);
  }
  clusters(options?: CallOptions): Promise<{ clusters: ClusterView[] }> {
    return this.#http.json('/clusters', options);
  }
  cluster(name: string, options?: CallOptions): Promise<ClusterView> {
    return this.#http.json(at('clusters', name), options);
  }
  clusterNodes(
    name: string,
    page: { readonly after?: string; readonly limit?: number } = {},
    options?: CallOptions,
  ): Promise<NodesPage> {
    return this.#http.json(`${at('clusters', name)}/nodes${query({ ...page })}`, options);
  }
  /** Known already: it is given leases again. */
  addCluster(name: string, options?: CallOptions): Promise<ClusterView> {
    return this.#http.sendJson('PUT', at('clusters', name), {}, { ...options, isRepeatable: true });
  }
  setCluster(name: string, to: 'cordon' | 'uncordon', options?: CallOptions): Promise<ClusterView> {
    const path = `${at('clusters', name)}/${to}`;
    return this.#http.sendJson('POST', path, {}, { ...options, isRepeatable: true });
  }
  drainCluster(name: string, graceMs: number, options?: CallOptions): Promise<ClusterView> {
    return this.#http.sendJson('POST', `${at('clusters', name)}/drain`, { graceMs }, options);
  }
  changeCluster(
    name: string,
    settings: ClusterSettings,
    options?: CallOptions,
  ): Promise<ClusterView> {
    const path = `${at('clusters', name)}/settings`;
    return this.#http.sendJson('PUT', path, settings, { ...options, isRepeatable: true });
  }
  async removeCluster(name: string, isForced: boolean, options?: CallOptions): Promise<void> {
    const path = `${at('clusters', name)}${query({ force: isForced })}`;
    await this.#http.send(path, { method: 'DELETE', ...options });
  }
  /** Another token for the cluster's agent. The only answer that holds the secret. */
  addClusterToken(name: string, options?: CallOptions): Promise<MadeToken> {
    return this.#http.sendJson('POST', `${at('clusters', name)}/tokens`, {}, options);
  }
  /** Those of its agent but the newest, or all of them. */
  async revokeClusterTokens(
    name: string,
    all: boolean,
    options?: CallOptions,
  ): Promise<{ revokedCount: number }> {
    const path = `${at('clusters', name)}/tokens${query({ all })}`;
    const response = await this.#http.send(path, { method: 'DELETE', ...options });
    return (await response.json()) as { revokedCount: number };
  }
  whoami(options?: CallOptions): Promise<Me> {
    return this.#http.json('/whoami', options);
  }
  tokens(options?: CallOptions): Promise<{ tokens: TokenView[] }> {
    return this.#http.json('/tokens', options);
  }
  /** The only answer that holds the secret. */
  createToken(request: TokenRequest, options?: CallOptions): Promise<MadeToken> {
    return this.#http.sendJson('POST', '/tokens', request, options);
  }
  async revokeToken(id: number, options?: CallOptions): Promise<void> {
    await this.#http.send(`/tokens/${id}`, { method: 'DELETE', isRepeatable: true, ...options });
  }
  openApi(options?: CallOptions): Promise<unknown> {
    return this.#http.json('/openapi.json', options);
  }
}
