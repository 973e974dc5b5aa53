import type { AgentStream, LogChunk, LogRequest } from '@majorana/protocol';
import type { AttemptHost } from './ports.ts';
import { Slots } from './slots.ts';

/** Base64 makes 4 of 3 bytes; a chunk may have 4,000,000 characters. */
const CHUNK_BYTES_MAX = 3_000_000;
/** Keeps one sync below 16 MB; the others go with the next. */
const CHUNKS_PER_SYNC_MAX = 4;
const READS_MAX = 4;

/** Requests for the logs of attempts, from the order to read until the answer has been delivered. */
export class LogAnswers {
  readonly #host: AttemptHost;
  readonly #onNews: () => void;
  readonly #reads = new Slots(READS_MAX);
  /** Undefined while the log is being read. */
  readonly #chunkById = new Map<string, LogChunk | undefined>();

  constructor(host: AttemptHost, onNews: () => void) {
    this.#host = host;
    this.#onNews = onNews;
  }

  /** False when the request is in work already: the server repeats what has not been answered. */
  request(request: LogRequest<AgentStream>): boolean {
    if (this.#chunkById.has(request.requestId)) return false;
    this.#chunkById.set(request.requestId, undefined);
    void this.#read(request);
    return true;
  }

  /** Never rejects: a log that cannot be read is answered as empty. */
  async #read(request: LogRequest<AgentStream>): Promise<void> {
    const bytes = await this.#reads.run(() => this.#find(request)).catch(() => new Uint8Array());
    const dataBase64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
    this.#chunkById.set(request.requestId, { requestId: request.requestId, dataBase64 });
    this.#onNews();
  }

  async #find({ stream, ...request }: LogRequest<AgentStream>): Promise<Uint8Array> {
    const host = this.#host;
    if (stream === 'start')
      return Buffer.from((await host.describeStart?.(request.attemptId)) ?? '');
    const bytesMax = Math.min(request.bytesMax, CHUNK_BYTES_MAX);
    return host.readLog({ ...request, stream, bytesMax });
  }

  chunks(): LogChunk[] {
    const ready = [...this.#chunkById.values()].filter((chunk) => chunk !== undefined);
    return ready.slice(0, CHUNKS_PER_SYNC_MAX);
  }

  delivered(chunks: readonly LogChunk[]): void {
    for (const chunk of chunks) this.#chunkById.delete(chunk.requestId);
  }
}
