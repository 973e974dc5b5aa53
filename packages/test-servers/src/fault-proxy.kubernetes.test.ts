import { until } from '@majorana/testing';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { KubernetesObject, TestKubernetes } from './index.ts';
import { FaultProxy, KubernetesApi, readKubeconfig, startKubernetes } from './index.ts';

const SEED = 7;
const MAPS = '/api/v1/namespaces/default/configmaps';

let kubernetes: TestKubernetes;
let proxy: FaultProxy;
let api: KubernetesApi;

beforeAll(async () => {
  kubernetes = await startKubernetes();
  proxy = await FaultProxy.start(kubernetes, SEED);
  const file = await proxy.kubeconfigThrough(kubernetes, kubernetes.adminKubeconfig);
  api = new KubernetesApi(await readKubeconfig(file));
});

afterEach(() => {
  proxy.faults = {};
});

afterAll(async () => {
  api[Symbol.dispose]();
  await proxy[Symbol.asyncDispose]();
  await kubernetes[Symbol.asyncDispose]();
});

const createMap = (name: string): Promise<KubernetesObject> =>
  api.create(MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } });

test('without faults the proxy passes requests and refusals as they are', async () => {
  await createMap('passed');
  await expect(api.get(`${MAPS}/passed`)).resolves.toMatchObject({ kind: 'ConfigMap' });
  await expect(createMap('passed')).rejects.toMatchObject({ status: 409 });
});

test('about the wanted share of requests is refused, with the time to wait', async () => {
  proxy.faults = { tooManyRequestsShare: 0.5, retryAfterSeconds: 3 };
  const refusals: unknown[] = [];
  for (let at = 0; at < 40; at += 1) await api.get(MAPS).catch((error) => refusals.push(error));
  expect(refusals.length).toBeGreaterThan(8);
  expect(refusals.length).toBeLessThan(32);
  expect(refusals.length).toBe(proxy.injected.tooManyRequests);
  expect(refusals[0]).toMatchObject({ status: 429, retryAfter: '3' });
});

test('a lost answer is of a request that was done', async () => {
  proxy.faults = { lostAnswerShare: 1 };
  await expect(createMap('lost')).rejects.toThrow(/socket hang up|ECONNRESET/);
  proxy.faults = {};
  await expect(api.get(`${MAPS}/lost`)).resolves.toMatchObject({ kind: 'ConfigMap' });
});

test('a server error is of a request that was not done', async () => {
  proxy.faults = { serverErrorShare: 1 };
  await expect(createMap('refused')).rejects.toMatchObject({ status: 500 });
  proxy.faults = {};
  await expect(api.get(`${MAPS}/refused`)).rejects.toMatchObject({ status: 404 });
});

test('a watch passes events as they come, and breaks when it is cut', async () => {
  const seen: string[] = [];
  const watching = (async () => {
    for await (const { object } of api.watch(`${MAPS}?watch=1`)) seen.push(object.metadata.name);
  })();
  const ended = expect(watching).rejects.toThrow(/aborted|ECONNRESET/);
  await createMap('watched');
  await until('the event of what was made', () => seen.includes('watched'));
  proxy.cutWatches();
  await ended;
});

test('a watch that goes on from a version is told that it is gone, in either way', async () => {
  proxy.faults = { goneShare: 1 };
  const { metadata } = await api.get<KubernetesObject>(MAPS);
  const ways = new Set<string>();
  await until('both ways of saying it', async () => {
    const from = `${MAPS}?watch=1&resourceVersion=${metadata.resourceVersion}`;
    try {
      for await (const event of api.watch<{ code: number }>(from)) {
        expect(event).toMatchObject({ type: 'ERROR', object: { code: 410 } });
        ways.add('event');
      }
    } catch (error) {
      expect(error).toMatchObject({ status: 410 });
      ways.add('answer');
    }
    return ways.size === 2;
  });
});
