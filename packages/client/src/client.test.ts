import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { JobEvent } from './index.ts';
import { ApiError, Client, sleep } from './index.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener, port = 0): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const problem = { title: 'never_fits', detail: 'too large', issues: [{ where: 'a', what: 'b' }] };

test('a problem becomes an error with its code, its words and its places', async () => {
  const url = await serve((_request, response) =>
    response
      .writeHead(422, { 'content-type': 'application/problem+json' })
      .end(JSON.stringify(problem)),
  );
  const error = await new Client(url, 't').job('job_1').catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({
    status: 422,
    code: 'never_fits',
    message: 'too large',
    issues: problem.issues,
  });
});

test('what may be repeated is repeated while the server is away, and the rest is not', async () => {
  let count = 0;
  const url = await serve((_request, response) => {
    count += 1;
    response.writeHead(count < 4 ? 503 : 200).end('{"id":"job_1"}');
  });
  const waits: number[] = [];
  const client = new Client(url, 't', {
    retryForMs: 5000,
    onRetry: (_error, delayMs) => waits.push(delayMs),
  });
  expect(await client.job('job_1')).toEqual({ id: 'job_1' });
  expect(waits).toEqual([100, 200, 400]);
  count = 0;
  await expect(client.retryJob('job_1', {})).rejects.toMatchObject({ status: 503 });
  expect(count).toBe(1);
  count = 0;
  await expect(client.submit({ argv: ['a'] })).rejects.toMatchObject({ status: 503 });
  count = 0;
  expect(await client.submit({ argv: ['a'], idempotencyKey: 'k' })).toEqual({ id: 'job_1' });
});

test('a server that comes back at another address is found there', async () => {
  let url = 'http://127.0.0.1:9';
  const client = new Client(url, 't', { retryForMs: 5000, urlNow: () => url });
  const asked = client.job('job_1');
  url = await serve((_request, response) => response.end('{"id":"job_1"}'));
  expect(await asked).toEqual({ id: 'job_1' });
});

test('an abort ends a request and a wait at once, with the reason of the signal', async () => {
  const url = await serve(() => undefined);
  const controller = new AbortController();
  const asked = new Client(url, 't', { retryForMs: 60_000 }).job('job_1', {
    signal: controller.signal,
  });
  const waited = sleep(60_000, controller.signal);
  controller.abort(new Error('enough'));
  await expect(asked).rejects.toThrow('enough');
  await expect(waited).rejects.toThrow('enough');
});

test('events are read as they come, whatever the pieces, and the last id is sent along', async () => {
  const seen: (string | undefined)[] = [];
  const text =
    ': hello\r\n\r\nid: 7\r\nevent: transition\r\ndata: {"sequence":7}\r\n\r\n' +
    'event: later\ndata: {}\n\nevent: job\ndata: {"id":\ndata: "job_1"}\n\nid: 9\nevent: end\ndata: {}\n\n';
  const url = await serve((request, response) => {
    seen.push(request.headers['last-event-id'] as string | undefined);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const bytes = Array.from(text);
    const next = (): void => {
      if (bytes.length === 0) response.end();
      else response.write(bytes.splice(0, 5).join(''), next);
    };
    next();
  });
  const events: JobEvent[] = [];
  for await (const event of new Client(url, 't').events('job_1', { lastEventId: '5' }))
    events.push(event);
  expect(events).toEqual([
    { kind: 'transition', id: '7', transition: { sequence: 7 } },
    { kind: 'job', id: '', job: { id: 'job_1' } },
    { kind: 'end', id: '9' },
  ]);
  expect(seen).toEqual(['5']);
});

test('a streamed body is sent as it is made, no faster than it is taken', async () => {
  let received = 0;
  const url = await serve((request, response) => {
    request.on('data', (chunk: Buffer) => (received += chunk.length));
    request.on('end', () => response.writeHead(201).end('{"parameterSetId":1}'));
  });
  let made = 0;
  async function* lines(): AsyncGenerator<Uint8Array> {
    for (let piece = 0; piece < 200; piece += 1) {
      made += 100_000;
      expect(made - received).toBeLessThan(8_000_000);
      yield new Uint8Array(100_000).fill(10);
    }
  }
  const set = await new Client(url, 't').createParameterSet(ReadableStream.from(lines()));
  expect(set).toEqual({ parameterSetId: 1 });
  expect(received).toBe(20_000_000);
});

test('a streamed body is not kept in memory, however long it is', async () => {
  const url = await serve((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(201).end('{"parameterSetId":1}'));
  });
  let most = 0;
  async function* lines(): AsyncGenerator<Uint8Array> {
    for (let piece = 0; piece < 400; piece += 1) {
      most = Math.max(most, process.memoryUsage().arrayBuffers);
      yield new Uint8Array(1_000_000).fill(10);
    }
  }
  await new Client(url, 't').createParameterSet(ReadableStream.from(lines()));
  expect(most).toBeLessThan(200_000_000);
});
