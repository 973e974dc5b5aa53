import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { kill, Product, until } from './product.ts';

let product: Product;
beforeEach(() => {
  product = new Product();
});
afterEach(() => product[Symbol.asyncDispose]());

interface Started {
  readonly url: string;
  readonly supervisorPid: number;
}

const parts = (): number[][] =>
  ['bin/postgres', 'control-plane', 'cluster-agent'].map((text) => product.processes(text));

function isThere(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

async function killSupervisor(): Promise<number[][]> {
  const { supervisorPid } = await product.json<Started>('up', '--detach', '--cores', '2');
  const before = parts();
  expect(before.map((pids) => pids.length)).toEqual([1, 1, 1]);
  kill([supervisorPid]);
  await until('its end', async () => !isThere(supervisorPid));
  expect(parts()).toEqual(before);
  return before;
}

test('after kill -9 of the supervisor, up ends what it left and starts one new set; tasks go on', async () => {
  await product.ok('up', '--detach', '--cores', '2');
  const [ran, go] = [path.join(product.data, 'ran'), path.join(product.data, 'go')];
  const script = `echo x >> ${ran}; while [ ! -e ${go} ]; do sleep 0.05; done`;
  const id = await product.ok('submit', '--', 'sh', '-c', script);
  await until('the start', async () => existsSync(ran));
  await product.ok('down');
  const orphans = await killSupervisor();
  const again = await product.json<Started>('up', '--detach', '--cores', '2');
  expect(parts().map((pids) => pids.length)).toEqual([1, 1, 1]);
  for (const [at, pids] of parts().entries()) expect(pids).not.toEqual(orphans[at]);
  expect(isThere(again.supervisorPid)).toBe(true);
  writeFileSync(go, '');
  await product.ok('wait', id);
  expect(readFileSync(ran, 'utf8')).toBe('x\n');
});

test('down ends what a killed supervisor left', async () => {
  const orphans = await killSupervisor();
  expect(await product.json('down')).toEqual({ isStopped: true });
  expect(orphans.flat().filter(isThere)).toEqual([]);
  expect(await product.json('down')).toEqual({ isStopped: false });
});

test('of two ups at the same time one starts the product and the other says so', async () => {
  const both = await Promise.all([
    product.run('up', '--detach', '--cores', '2'),
    product.run('up', '--detach', '--cores', '2'),
  ]);
  expect(both.map(({ code }) => code).toSorted((a, b) => a - b)).toEqual([0, 5]);
  expect(parts().map((pids) => pids.length)).toEqual([1, 1, 1]);
  expect((await product.run('up', '--detach')).stderr).toContain('already runs here');
});

test('a process that got the number of a dead supervisor is not taken for it', async () => {
  const state = {
    supervisor: { pid: process.pid, startTicks: 1, bootId: 'another' },
    url: 'http://127.0.0.1:9',
  };
  writeFileSync(path.join(product.data, 'running.json'), JSON.stringify(state));
  const part = { name: 'agent', process: state.supervisor, stopSignal: 'SIGTERM' };
  writeFileSync(path.join(product.data, 'parts.json'), JSON.stringify([part]));
  expect((await product.run('jobs')).code).toBe(4);
  expect(await product.json('down')).toEqual({ isStopped: false });
  await product.ok('up', '--detach', '--cores', '2');
  expect((await product.run('jobs')).code).toBe(0);
});

test('a first token that was taken back stays so when the product starts again', async () => {
  await product.ok('up', '--detach', '--cores', '1');
  const first = readFileSync(path.join(product.data, 'token'), 'utf8').trim();
  const second = await product.ok('tokens', 'create', 'ada', '--role', 'admin');
  await product.ok('tokens', 'revoke', '1');
  await product.ok('down');
  await product.run('up', '--detach', '--cores', '1');
  const { url } = JSON.parse(readFileSync(path.join(product.data, 'running.json'), 'utf8')) as {
    url: string;
  };
  const ask = async (token: string): Promise<number> =>
    (await fetch(`${url}/api/v1/jobs`, { headers: { authorization: `Bearer ${token}` } })).status;
  expect([await ask(first), await ask(second)]).toEqual([401, 200]);
});
