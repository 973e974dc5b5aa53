import type { Access } from '@majorana/cluster-agent/kubernetes/kubeconfig';
import { expect, test } from 'vitest';
import { noAnswer } from './no-answer.ts';

/** Of January 2020. */
const EXPIRED = `-----BEGIN CERTIFICATE-----
MIIBAzCBqgIBAjAKBggqhkjOPQQDAjAOMQwwCgYDVQQDDANhZGEwHhcNMjAwMTAx
MDAwMDAwWhcNMjAwMjAxMDAwMDAwWjAOMQwwCgYDVQQDDANhZGEwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAARjhesO4Y4m5whWEpAcC0GW89X9nWc0BYAw8opSy4nS
XKEPdk2kmGI12kdSnnunLDiiUH8UeqYStEgUEK6JQa1kMAoGCCqGSM49BAMCA0gA
MEUCIQC6ubesGd7XztmGWzWRbC7wSK/VnDnaKAZrfHYCfkyEKAIgF9AY+itO1B10
kqWDFzPSQke3sWYdPTfpkmcyRiyb5us=
-----END CERTIFICATE-----
`;
const accessOf = (secrets: object): Access => ({
  server: 'https://lab:6443',
  isUnverified: false,
  secrets: async () => secrets,
});
const failure = (fields: object): Error => Object.assign(new Error('it failed'), fields);
const unauthorized = failure({ name: 'ApiServerError', status: 401 });

test.each([
  ['2020-01-15', 'the certificate of the kubeconfig is over, was taken back, or'],
  ['2026-11-24', 'the client certificate of the kubeconfig ended on 2020-02-01T00:00:00.000Z'],
])('a certificate that is over on %s is told by its date', async (day, words) => {
  const told = await noAnswer(unauthorized, accessOf({ cert: EXPIRED }), Date.parse(day));
  expect(told.message).toContain(`https://lab:6443 does not know who asks (401): ${words}`);
  expect(told).toMatchObject({ exitCode: 5 });
});

test.each([
  [failure({ name: 'ApiServerError', status: 403 }), 5, 'https://lab:6443 refuses: it failed'],
  [failure({ name: 'KubeconfigError' }), 2, 'it failed'],
  [failure({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }), 4, 'give it certificate-authority-data'],
  [failure({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' }), 4, 'as tls-server-name'],
  [failure({ code: 'ECONNREFUSED' }), 4, 'does not answer: it failed; see that the address'],
])('%s ends with %i and says what to do', async (error, exitCode, words) => {
  const told = await noAnswer(error, accessOf({ token: 't' }), 0);
  expect(told.message).toContain(words);
  expect(told).toMatchObject({ exitCode });
});
