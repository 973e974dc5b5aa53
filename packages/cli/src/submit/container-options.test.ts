import { expect, test } from 'vitest';
import { parseMount, parseToleration, readContainer } from './container-options.ts';

test.each([
  ['pvc:data:/data', { kind: 'pvc', claim: 'data', mountPath: '/data', isReadOnly: true }],
  ['pvc:data:/data:rw', { kind: 'pvc', claim: 'data', mountPath: '/data', isReadOnly: false }],
  [
    'nfs:fd00::7:/export:/data:ro',
    { kind: 'nfs', server: 'fd00::7', path: '/export', mountPath: '/data', isReadOnly: true },
  ],
  ['host:/scratch:/s', { kind: 'hostPath', path: '/scratch', mountPath: '/s', isReadOnly: true }],
  ['config-map:c:/c', { kind: 'configMap', name: 'c', mountPath: '/c', isReadOnly: true }],
])('--mount %s is read', (text, mount) => {
  expect(parseMount(text)).toEqual(mount);
});

test.each(['', 'pvc', 'pvc:data', 'disk:a:/b', 'nfs:/export:/data', 'pvc:a:/b:/c'])(
  '--mount "%s" is refused with the forms there are',
  (text) => {
    expect(() => parseMount(text)).toThrow('config-map:NAME:/path');
  },
);

test.each([
  ['gpu', { key: 'gpu', operator: 'Exists' }],
  ['gpu=a100:NoSchedule', { key: 'gpu', operator: 'Equal', value: 'a100', effect: 'NoSchedule' }],
  ['*', { key: '', operator: 'Exists' }],
])('--toleration %s is read', (text, toleration) => {
  expect(parseToleration(text)).toEqual(toleration);
});

test('what only a container can have is refused without an image', () => {
  const none = { nodeSelector: [], toleration: [], mount: [] };
  expect(readContainer(none)).toBeUndefined();
  expect(() => readContainer({ ...none, mount: ['pvc:a:/b'] })).toThrow('need --image');
  expect(readContainer({ ...none, image: 'a:1', nodeSelector: ['pool=hpc'] })).toMatchObject({
    image: 'a:1',
    nodeSelector: { pool: 'hpc' },
  });
});
