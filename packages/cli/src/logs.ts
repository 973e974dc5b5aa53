import { once } from 'node:events';
import type { Client } from '@majorana/client';
import { ApiError, sleep } from '@majorana/client';
import type { LogStream, TaskDetail } from '@majorana/protocol';
import { isTerminal } from '@majorana/core';

const READ_BYTES = 1024 * 1024;
const TAIL_BYTES = 64 * 1024;
const POLL_MS = 500;

export interface LogOptions {
  readonly stream: LogStream;
  readonly attempt: number;
  readonly signal: AbortSignal;
}

/** Gets the log piece by piece; answers only when a piece has been taken. */
export type LogSink = (piece: Uint8Array) => Promise<void>;

export async function writeOut(piece: Uint8Array): Promise<void> {
  if (!process.stdout.write(piece)) await once(process.stdout, 'drain');
}

/** Whether this attempt has nothing more to say. */
export function isAttemptEnded(detail: TaskDetail, attempt: number): boolean {
  const record = detail.attempts.find(({ id }) => id.endsWith(`.${attempt}`));
  if (record !== undefined) return record.endedAtMs !== null;
  return isTerminal(detail.task.state) || attempt < detail.task.attemptNumber;
}

/** What has been written from an offset on; answers with the offset behind it. */
export async function readLog(
  client: Client,
  taskId: string,
  options: LogOptions & { readonly offset: number },
  sink: LogSink,
): Promise<number> {
  let { offset } = options;
  const { stream, attempt, signal } = options;
  for (;;) {
    const part = { stream, attempt, offset, bytesMax: READ_BYTES };
    const response = await client.logs(taskId, part, { signal });
    const piece = new Uint8Array(await response.arrayBuffer());
    if (piece.length === 0) return offset;
    await sink(piece);
    offset += piece.length;
  }
}

/**
 * Everything that is written until the attempt has ended. The stream may break at any time (a
 * server that is started again, an idle connection that is cut): it goes on at the same byte.
 */
export async function followLog(
  client: Client,
  taskId: string,
  options: LogOptions & { readonly offset: number },
  sink: LogSink,
): Promise<void> {
  let { offset } = options;
  const { stream, attempt, signal } = options;
  for (;;) {
    const before = offset;
    try {
      const response = await client.logs(
        taskId,
        { stream, attempt, offset, follow: true },
        { signal },
      );
      for await (const piece of response.body ?? []) {
        await sink(piece as Uint8Array);
        offset += (piece as Uint8Array).length;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ApiError && !error.isPassing) throw error;
    }
    if (isAttemptEnded(await client.task(taskId, { signal }), attempt)) {
      await readLog(client, taskId, { ...options, offset }, sink);
      return;
    }
    if (offset === before) await sleep(POLL_MS, signal);
  }
}

const LINE_FEED = 10;

/** Where the last lines begin: the position after the line feed that ends the line before them. */
export function tailStart(bytes: Uint8Array, lineCount: number): number | undefined {
  let open = lineCount;
  for (let at = bytes.length - 2; at >= 0; at -= 1) {
    if (bytes[at] === LINE_FEED && --open === 0) return at + 1;
  }
  return undefined;
}

/**
 * The last lines, and the offset behind them. With the size of a stored log only its end is read;
 * without it everything is, and no more than the lines asked for is kept.
 */
export async function readTail(
  client: Client,
  taskId: string,
  options: LogOptions & { readonly lineCount: number; readonly sizeBytes: number | undefined },
): Promise<{ readonly text: Uint8Array; readonly offset: number }> {
  const { lineCount, sizeBytes } = options;
  if (lineCount === 0 && sizeBytes !== undefined)
    return { text: new Uint8Array(), offset: sizeBytes };
  for (let span = TAIL_BYTES; ; span *= 8) {
    const from = sizeBytes === undefined ? 0 : Math.max(0, sizeBytes - span);
    let kept: Uint8Array = new Uint8Array();
    let isCut = from > 0;
    const offset = await readLog(client, taskId, { ...options, offset: from }, async (piece) => {
      const all = Buffer.concat([kept, piece]);
      const start = lineCount === 0 ? all.length : tailStart(all, lineCount);
      isCut &&= start === undefined;
      kept = all.subarray(start ?? 0);
    });
    if (!isCut || from === 0) return { text: kept, offset };
  }
}
