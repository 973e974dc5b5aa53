import type { TestKubernetes } from '@majorana/test-servers';
import { FaultProxy, seededRandom, startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiServer } from './api-server.ts';
import { readKubeconfig } from './kubeconfig.ts';
import type { Metadata } from './objects.ts';
import { Reflector } from './reflector.ts';

interface ConfigMap {
  readonly metadata: Metadata;
  readonly data?: Readonly<Record<string, string>>;
}

const SEED = Number(process.env['MAJORANA_SEED'] ?? 1);
const PATH = '/api/v1/namespaces/default/configmaps';
const COUNT = 1200;

let kubernetes: TestKubernetes;
let proxy: FaultProxy;
let api: ApiServer;
beforeAll(async () => {
  kubernetes = await startKubernetes();
  proxy = await FaultProxy.start(kubernetes, SEED);
  const kubeconfig = await proxy.kubeconfigThrough(kubernetes, kubernetes.adminKubeconfig);
  api = new ApiServer(await readKubeconfig(kubeconfig));
});
afterAll(async () => {
  api?.[Symbol.dispose]();
  await proxy?.[Symbol.asyncDispose]();
  await kubernetes?.[Symbol.asyncDispose]();
});

/** What a reflector says there is. */
class Mirror {
  readonly objects = new Map<string, string | undefined>();
  replaceCount = 0;
  readonly set = ({ metadata, data }: ConfigMap): void =>
    void this.objects.set(metadata.name, data?.['value']);
  readonly remove = ({ metadata }: ConfigMap): void => void this.objects.delete(metadata.name);
  readonly replace = (all: readonly ConfigMap[]): void => {
    this.replaceCount += 1;
    this.objects.clear();
    for (const one of all) this.set(one);
  };
}

const create = (name: string): Promise<unknown> =>
  kubernetes.admin.create(PATH, { metadata: { name }, data: { value: '0' } });

async function actual(): Promise<Map<string, string | undefined>> {
  const { items } = await kubernetes.admin.get<{ items: ConfigMap[] }>(PATH);
  return new Map(items.map(({ metadata, data }) => [metadata.name, data?.['value']]));
}

const sorted = (map: ReadonlyMap<string, string | undefined>): string =>
  JSON.stringify([...map].toSorted(([a], [b]) => (a < b ? -1 : 1)));

async function untilSame(mirror: Mirror): Promise<void> {
  await until(`seed ${SEED}: the mirror to show what is there`, async () => {
    const there = sorted(await actual());
    return sorted(mirror.objects) === there;
  });
}

/** Makes, changes and deletes at random. */
async function disturb(random: () => number, count: number): Promise<void> {
  const names = [...(await actual()).keys()].filter((name) => name.startsWith('c-'));
  for (let at = 0; at < count; at += 1) {
    const which = random();
    const name = names[Math.floor(random() * names.length)]!;
    if (which < 0.3) {
      names.push(`c-new-${crypto.randomUUID()}`);
      await create(names.at(-1)!);
    } else if (which < 0.6)
      await kubernetes.admin.request('PATCH', `${PATH}/${name}`, { data: { value: String(at) } });
    else {
      names.splice(names.indexOf(name), 1);
      await kubernetes.admin.delete(`${PATH}/${name}`);
    }
  }
}

test('a collection is read by pages once, and then only watched', async () => {
  const names = Array.from({ length: COUNT }, (_, at) => `c-${at}`);
  await Promise.all(names.map(create));
  const mirror = new Mirror();
  const lists: string[] = [];
  proxy.onStep = ({ at, path }) => void (at === 'arrived' && lists.push(path));
  const reflector = new Reflector<ConfigMap>(api, { path: PATH }, mirror, () => undefined);
  await reflector.start();
  expect(sorted(mirror.objects)).toBe(sorted(await actual()));
  await disturb(seededRandom(SEED), 50);
  await untilSame(mirror);
  await reflector.stop();
  proxy.onStep = () => undefined;
  expect(mirror.replaceCount).toBe(1);
  // Three pages of 500, and the watch.
  expect(lists).toHaveLength(Math.ceil(COUNT / 500) + 1);
});

test('through cuts, refusals and 410 it shows in the end what is there', async () => {
  const mirror = new Mirror();
  const said: string[] = [];
  const reflector = new Reflector<ConfigMap>(api, { path: PATH }, mirror, (message) =>
    said.push(message),
  );
  await reflector.start();
  const random = seededRandom(SEED);
  proxy.faults = {
    watchCutShare: 1,
    watchCutAfterMs: [0, 150],
    goneShare: 0.3,
    serverErrorShare: 0.2,
    lostAnswerShare: 0.1,
  };
  proxy.cutWatches();
  for (let round = 0; round < 10; round += 1) {
    await disturb(random, 20);
    await untilSame(mirror);
  }
  proxy.faults = {};
  await reflector.stop();
  expect(mirror.replaceCount).toBeGreaterThan(1);
  expect(new Set(said)).toContain('a watch broke; it goes on');
});

test('a watch that says nothing for too long is given up: its connection may be dead', async () => {
  const { metadata } = await api.request<{ metadata: Metadata }>('GET', `${PATH}?limit=1`);
  const path = `${PATH}?watch=1&resourceVersion=${metadata.resourceVersion}`;
  const events = api.watch<ConfigMap>(path, new AbortController().signal, 300);
  await expect(events.next()).rejects.toThrow('nothing was heard for 0.3 s');
});
