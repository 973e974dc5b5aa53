import { expect, test } from 'vitest';
import { readSettings } from './settings.ts';

const env = { MAJORANA_URL: 'https://lab.example.org/', MAJORANA_TOKEN: 'mjr_x' };

test('a name is enough where the environment says the rest', () => {
  expect(readSettings({ name: 'lab' }, env)).toMatchObject({
    url: 'https://lab.example.org',
    token: 'mjr_x',
    kubeconfig: undefined,
    pods: {
      agentId: 'lab',
      namespace: 'majorana',
      runnerUrl: 'https://lab.example.org',
      runAsUser: 10_001,
      hostPaths: [],
    },
  });
});

test('options go before the environment, and may be repeated', () => {
  const settings = readSettings(
    {
      name: 'lab',
      url: 'http://10.0.0.1:8080',
      'token-file': '/run/token',
      'allow-host-path': ['/scratch', '/data'],
      annotation: ['example.org/mesh=off', 'note=a=b'],
      'core-price-per-hour': '0.02',
    },
    env,
  );
  expect(settings).toMatchObject({
    url: 'http://10.0.0.1:8080',
    tokenFile: '/run/token',
    token: undefined,
    corePricePerHour: 0.02,
    pods: {
      hostPaths: ['/scratch', '/data'],
      annotations: { 'example.org/mesh': 'off', note: 'a=b' },
    },
  });
});

test.each([
  [{}, '--name is needed'],
  [{ name: 'a b' }, '--name a b: letters'],
  [{ name: 'lab-' }, '--name lab-: ends with a letter or digit'],
  [{ name: 'lab', url: 'lab.example.org' }, '--url lab.example.org: a URL'],
  [{ name: 'lab', namespace: 'Big_One' }, '--namespace Big_One'],
  [{ name: 'lab', 'run-as-user': '0' }, '--run-as-user 0: a whole number from 1'],
  [{ name: 'lab', annotation: ['x'] }, '--annotation x: key=value'],
  [{ name: 'lab', annotation: ['majorana.dev/attempt=job_1.0.1'] }, '--annotation'],
  [{ name: 'lab', 'allow-host-path': ['/a/../etc'] }, '--allow-host-path /a/../etc'],
  [{ name: 'lab', 'core-price-per-hour': 'cheap' }, '--core-price-per-hour cheap'],
  [{ name: 'lab', context: 'blue' }, '--context blue: a context is of a kubeconfig'],
])('%j is refused with what is wrong', (given, message) => {
  expect(() => readSettings(given, env)).toThrow(message);
});

test('without a token it says what makes one', () => {
  expect(() => readSettings({ name: 'lab', url: 'http://a' }, {})).toThrow(
    'majorana clusters add lab',
  );
});
