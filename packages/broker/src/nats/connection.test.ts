import { expect, test } from 'vitest';
import { readServers } from './connection.ts';

test('servers are told by their urls, several by commas', () => {
  const hosts = (text: string): string[] => readServers(text).map(({ host }) => host);
  expect(hosts('tls://nats.example.org:4222')).toEqual(['nats.example.org:4222']);
  expect(hosts('tls://a:4222, tls://b:4222')).toEqual(['a:4222', 'b:4222']);
  expect(hosts('nats://127.0.0.1:4222,nats://localhost:1')).toEqual([
    '127.0.0.1:4222',
    'localhost:1',
  ]);
});

test.each([
  ['', /is tls:\/\/HOST:4222/],
  ['example.org:4222', /is tls:\/\/HOST:4222/],
  ['http://example.org', /is tls:\/\/HOST:4222/],
  ['nats://example.org:4222', /without TLS only on this machine/],
  ['nats://127.0.0.1:4222,tls://b:4222', /all tls:\/\/ or all nats:\/\//],
])('%s is refused', (text, why) => {
  expect(() => readServers(text)).toThrow(why);
});

test('a password in a url is refused, and not repeated', () => {
  expect(() => readServers('tls://user:geheim@example.org:4222')).toThrow(/holds no password/);
  expect(() => readServers('tls://user:geheim@example.org:4222')).not.toThrow(/geheim/);
});
