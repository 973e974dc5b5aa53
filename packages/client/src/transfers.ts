import type { Client } from './client.ts';
import type { CallOptions } from './request.ts';
import { ApiError, sleep } from './request.ts';

/** So often in a row without a byte between, a transfer is taken up again. */
const BREAKS_MAX = 8;
const BREAK_DELAY_MS = 100;
const BREAK_DELAY_MS_MAX = 5000;

export interface TransferOptions extends CallOptions {
  /** Bytes that are there, each time some have come. */
  readonly onProgress?: (bytes: number) => void;
}

/** A broken line is an error of fetch, or nobody answers; what is wrong with the request stays so. */
function isBreak(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted === true) return false;
  return error instanceof ApiError
    ? error.isPassing || error.code === 'upload_moved'
    : error instanceof TypeError;
}

/** Counts breaks; one that comes after progress is the first again. */
class Patience {
  #breaks = 0;
  #bytes = -1;

  async wait(error: unknown, bytes: number, signal: AbortSignal | undefined): Promise<void> {
    this.#breaks = bytes > this.#bytes ? 1 : this.#breaks + 1;
    this.#bytes = Math.max(this.#bytes, bytes);
    if (!isBreak(error, signal) || this.#breaks > BREAKS_MAX) throw error;
    const delayMs = BREAK_DELAY_MS * 2 ** (this.#breaks - 1);
    await sleep(Math.min(delayMs, BREAK_DELAY_MS_MAX), signal);
  }
}

function counted(
  stream: ReadableStream<Uint8Array>,
  count: (bytes: number) => void,
): ReadableStream<Uint8Array> {
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        count(chunk.length);
        controller.enqueue(chunk);
      },
    }),
  );
}

/**
 * Sends what the server has not yet of an object, and goes on where a line broke, be it the line of
 * an earlier call or of a process that was killed.
 */
export async function uploadObject(
  client: Client,
  object: string,
  content: Blob,
  { signal, onProgress }: TransferOptions = {},
): Promise<void> {
  const patience = new Patience();
  for (let sent = 0; ;) {
    try {
      const { offsetBytes: offset, isStored } = await client.uploadState(object, { signal });
      onProgress?.((sent = offset));
      if (isStored) return;
      const rest = content.slice(offset).stream();
      const piece = counted(rest, (bytes) => onProgress?.((sent += bytes)));
      await client.appendUpload(object, { offset, size: content.size }, piece, { signal });
      return;
    } catch (error) {
      await patience.wait(error, sent, signal);
    }
  }
}

/** The bytes of an object from one on, over lines that break; the caller checks the hash. */
export async function* downloadObject(
  client: Client,
  object: string,
  { start = 0, size, signal }: CallOptions & { readonly start?: number; readonly size: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  const patience = new Patience();
  for (let position = start; position < size;) {
    try {
      const { body } = await client.getObject(object, { start: position, signal });
      for await (const chunk of body ?? []) {
        position += chunk.length;
        yield chunk;
      }
      if (position < size) throw new TypeError('the answer ends early');
    } catch (error) {
      await patience.wait(error, position, signal);
    }
  }
}
