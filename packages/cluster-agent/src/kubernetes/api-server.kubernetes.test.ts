import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import type { TestKubernetes } from '@majorana/test-servers';
import { startKubernetes } from '@majorana/test-servers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiServer } from './api-server.ts';
import { readKubeconfig } from './kubeconfig.ts';

let kubernetes: TestKubernetes;
const asked: string[] = [];
const proxy = http.createServer().on('connect', (request, socket) => {
  asked.push(request.url!);
  const { hostname, port } = new URL(`http://${request.url}`);
  const there = net.connect(Number(port), hostname, () => {
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    there.pipe(socket).pipe(there);
  });
  for (const [end, other] of [
    [there, socket],
    [socket, there],
  ] as const)
    end.on('error', () => other.destroy()).on('close', () => other.destroy());
});

beforeAll(async () => {
  kubernetes = await startKubernetes();
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
});
afterAll(async () => {
  proxy.close();
  await kubernetes?.[Symbol.asyncDispose]();
});

test('requests and watches go through the proxy of the kubeconfig', async () => {
  const { port } = proxy.address() as AddressInfo;
  const access = await readKubeconfig(kubernetes.adminKubeconfig);
  using api = new ApiServer({ ...access, proxyUrl: `http://127.0.0.1:${port}` });
  expect(await api.request('GET', '/version')).toMatchObject({ major: '1' });
  const watch = api.watch('/api/v1/namespaces?watch=true', AbortSignal.timeout(20_000), 20_000);
  const first = await watch.next();
  expect(first.value).toMatchObject({ type: 'ADDED' });
  await watch.return(undefined);
  expect(asked).toEqual(Array(2).fill(new URL(kubernetes.server).host));
});
