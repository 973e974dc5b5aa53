import type { StateCounts, TaskState } from '@majorana/core';
import type { JobSpecInput } from '@majorana/protocol';

export interface JobView {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  readonly priority: number;
  readonly state: 'pending' | 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
  readonly taskCount: number;
  readonly counts: StateCounts;
  readonly submittedAtMs: number;
  readonly endedAtMs: number | null;
}
export interface TaskView {
  readonly id: string;
  readonly index: number;
  readonly state: TaskState;
  readonly attemptNumber: number;
  readonly retryCount: number;
  readonly agentId: string | null;
  readonly exitCode: number | null;
  readonly reason: string;
}
export interface TaskPage {
  readonly tasks: TaskView[];
  /** Tasks that were never touched: they have no record of their own yet. */
  readonly untouched: {
    readonly state: TaskState;
    readonly count: number;
    readonly firstIndex: number | null;
  };
  readonly next: number | null;
}
export interface ArtifactView {
  readonly jobId: number;
  readonly taskIndex: number;
  readonly attemptNumber: number;
  readonly role: 'output' | 'stdout' | 'stderr';
  readonly path: string;
  readonly object: string;
  readonly sizeBytes: number;
}
export interface AttemptView {
  readonly id: string;
  readonly agentId: string;
  readonly leasedAtMs: number;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly outcome: string | null;
  readonly exitCode: number | null;
  readonly signal: number | null;
  readonly reason: string | null;
  readonly peakMemoryBytes: number | null;
  readonly cpuTimeMs: number | null;
}
export interface TaskDetail {
  readonly task: TaskView | null;
  readonly state: TaskState;
  readonly attempts: AttemptView[];
  readonly transitions: {
    readonly atMs: number;
    readonly fromState: TaskState;
    readonly toState: TaskState;
    readonly reason: string;
  }[];
  readonly artifacts: ArtifactView[];
}

/** The server answered with a problem, or did not answer (`status` 0). */
export class ApiError extends Error {
  override name = 'ApiError';
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Typed access to the HTTP API; needs nothing but fetch. */
export class Client {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  async #request(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${this.#token}`);
    const response = await fetch(`${this.#url}/api/v1${path}`, { ...init, headers }).catch(
      (cause: Error) => {
        throw new ApiError(0, 'unreachable', `no answer from ${this.#url}: ${cause.message}`);
      },
    );
    if (response.ok) return response;
    const problem = (await response.json().catch(() => ({}))) as {
      title?: string;
      detail?: string;
    };
    throw new ApiError(
      response.status,
      problem.title ?? 'error',
      problem.detail ?? response.statusText,
    );
  }

  async #get<T>(path: string): Promise<T> {
    return (await (await this.#request(path)).json()) as T;
  }

  async #post<T>(path: string, body: object): Promise<T> {
    const headers = { 'content-type': 'application/json' };
    const response = await this.#request(path, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    return (await response.json()) as T;
  }

  submit(spec: JobSpecInput): Promise<{ id: string }> {
    return this.#post('/jobs', spec);
  }
  jobs(limit: number): Promise<{ jobs: JobView[]; next: number | null }> {
    return this.#get(`/jobs?limit=${limit}`);
  }
  job(id: string): Promise<JobView> {
    return this.#get(`/jobs/${encodeURIComponent(id)}`);
  }
  tasks(id: string, from: number, limit: number, state?: TaskState): Promise<TaskPage> {
    const query = `from=${from}&limit=${limit}${state === undefined ? '' : `&state=${state}`}`;
    return this.#get(`/jobs/${encodeURIComponent(id)}/tasks?${query}`);
  }
  task(id: string): Promise<TaskDetail> {
    return this.#get(`/tasks/${encodeURIComponent(id)}`);
  }
  stateMap(id: string): Promise<{ runs: { state: TaskState; count: number }[] }> {
    return this.#get(`/jobs/${encodeURIComponent(id)}/state-map`);
  }
  failures(
    id: string,
  ): Promise<{ groups: { reason: string; count: number; firstIndex: number }[] }> {
    return this.#get(`/jobs/${encodeURIComponent(id)}/failures`);
  }
  artifacts(id: string): Promise<{ artifacts: ArtifactView[] }> {
    return this.#get(`/jobs/${encodeURIComponent(id)}/artifacts`);
  }
  cancel(id: string): Promise<{ cancelled: number }> {
    return this.#post(`/jobs/${encodeURIComponent(id)}/cancel`, {});
  }
  retry(id: string, states?: readonly string[]): Promise<{ retried: number }> {
    return this.#post(
      `/jobs/${encodeURIComponent(id)}/retry`,
      states === undefined ? {} : { states },
    );
  }
  async putObject(body: Blob): Promise<{ object: string; sizeBytes: number }> {
    const headers = { 'content-type': 'application/octet-stream' };
    const response = await this.#request('/objects', { method: 'POST', headers, body });
    return (await response.json()) as { object: string; sizeBytes: number };
  }
  getObject(object: string): Promise<Response> {
    return this.#request(`/objects/${object}`);
  }
}
