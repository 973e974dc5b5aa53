export interface Issue {
  readonly where: string;
  readonly what: string;
}

/** The server answered with a problem, or did not answer (`status` 0). */
export class ApiError extends Error {
  override name = 'ApiError';
  readonly status: number;
  readonly code: string;
  readonly issues: readonly Issue[];

  constructor(status: number, code: string, message: string, issues: readonly Issue[] = []) {
    super(message);
    this.status = status;
    this.code = code;
    this.issues = issues;
  }

  /** Nobody answers, or the server says that it cannot just now: later may be different. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 429 || this.status === 503;
  }
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ClientOptions {
  /** Calls that may be repeated safely are repeated for so long while nobody answers; 0: never. */
  readonly retryForMs?: number;
  /** Told before each such wait. */
  readonly onRetry?: (error: ApiError, delayMs: number) => void;
  /** Asked before a repetition: a server that was started again may stand at another address. */
  readonly urlNow?: () => string | undefined;
}

export interface Call extends CallOptions {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Blob | ReadableStream<Uint8Array> | undefined;
  /** Whether a second time does no harm; default: GET and HEAD. */
  readonly isRepeatable?: boolean;
}

/**
 * For a body that is sent while it is made. Without `redirect` and `window` Node's fetch copies the
 * request, and the copy of the stream, which nobody reads, keeps all of it in memory.
 */
const STREAMED = { duplex: 'half', redirect: 'error', window: null } as const;
const RETRY_DELAY_MS = 100;
const RETRY_DELAY_MS_MAX = 2000;

/** Waits; rejects with the signal's reason as soon as that is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** undici says "fetch failed"; what failed stands in the cause. */
function causeOf(error: Error): string {
  const cause = error.cause as { code?: string; message?: string } | undefined;
  return cause?.message || cause?.code || error.message;
}

async function problemOf(response: Response): Promise<ApiError> {
  const problem = (await response.json().catch(() => ({}))) as {
    title?: string;
    detail?: string;
    issues?: Issue[];
  };
  const detail = problem.detail ?? `${response.status} ${response.statusText}`;
  return new ApiError(response.status, problem.title ?? 'error', detail, problem.issues);
}

/** Sends requests with a token; what is safe to repeat is repeated while nobody answers. */
export class Requester {
  url: string;
  readonly #token: string;
  readonly #options: ClientOptions;

  constructor(url: string, token: string, options: ClientOptions) {
    this.url = url.replace(/\/+$/, '');
    this.#token = token;
    this.#options = options;
  }

  async #once(path: string, call: Call): Promise<Response> {
    const headers = { ...call.headers, authorization: `Bearer ${this.#token}` };
    const init = {
      method: call.method ?? 'GET',
      headers,
      ...(call.signal === undefined ? {} : { signal: call.signal }),
      ...(call.body === undefined ? {} : { body: call.body }),
      ...(call.body instanceof ReadableStream ? STREAMED : {}),
    };
    const response = await fetch(`${this.url}/api/v1${path}`, init).catch((cause: Error) => {
      if (call.signal?.aborted === true) throw cause;
      throw new ApiError(0, 'unreachable', `no answer from ${this.url}: ${causeOf(cause)}`);
    });
    if (response.ok) return response;
    throw await problemOf(response);
  }

  async send(path: string, call: Call = {}): Promise<Response> {
    const { retryForMs = 0, onRetry } = this.#options;
    const isRepeatable =
      call.isRepeatable ?? (call.method === undefined || ['GET', 'HEAD'].includes(call.method));
    const deadlineMs = Date.now() + (isRepeatable ? retryForMs : 0);
    for (let delayMs = RETRY_DELAY_MS; ; delayMs = Math.min(delayMs * 2, RETRY_DELAY_MS_MAX)) {
      try {
        return await this.#once(path, call);
      } catch (error) {
        if (!(error instanceof ApiError) || !error.isPassing) throw error;
        if (Date.now() + delayMs > deadlineMs) throw error;
        onRetry?.(error, delayMs);
        await sleep(delayMs, call.signal);
        this.url = this.#options.urlNow?.() ?? this.url;
      }
    }
  }

  async json<T>(path: string, call?: Call): Promise<T> {
    return (await (await this.send(path, call)).json()) as T;
  }

  sendJson<T>(
    method: 'POST' | 'PUT',
    path: string,
    body: object,
    options: CallOptions & { isRepeatable?: boolean } = {},
  ): Promise<T> {
    const headers = { 'content-type': 'application/json' };
    return this.json(path, { method, headers, body: JSON.stringify(body), ...options });
  }
}

/** `?a=1&b=2` of what is given. */
export function query(
  values: Readonly<Record<string, string | number | boolean | undefined>>,
): string {
  const pairs = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  );
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}
