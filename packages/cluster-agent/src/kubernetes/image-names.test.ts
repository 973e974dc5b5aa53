import { expect, test } from 'vitest';
import { ClusterView } from './cluster-view.ts';
import { fullImageName } from './image-names.ts';
import { NAMES, testNode } from './test-objects.ts';

const SHA = `sha256:${'0'.repeat(64)}`;

test.each([
  ['busybox', 'docker.io/library/busybox:latest'],
  ['busybox:1.36', 'docker.io/library/busybox:1.36'],
  ['library/busybox', 'docker.io/library/busybox:latest'],
  ['docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['index.docker.io/library/busybox:latest', 'docker.io/library/busybox:latest'],
  ['somebody/a:1', 'docker.io/somebody/a:1'],
  ['registry.test/a', 'registry.test/a:latest'],
  ['registry.test:5000/deep/a:1', 'registry.test:5000/deep/a:1'],
  ['registry.test:5000/a', 'registry.test:5000/a:latest'],
  ['localhost/a', 'localhost/a:latest'],
  [`busybox@${SHA}`, `docker.io/library/busybox@${SHA}`],
  [`registry.test:5000/a:1@${SHA}`, `registry.test:5000/a@${SHA}`],
])('%s is %s', (image, full) => {
  expect(fullImageName(image)).toBe(full);
  expect(fullImageName(full)).toBe(full);
});

test('a node has an image by each name that means it, its digest among them', () => {
  const view = new ClusterView(NAMES, () => false);
  const images = [
    { names: [`docker.io/library/python@${SHA}`, 'docker.io/library/python:3'] },
    { names: ['registry.test/a:1'] },
  ];
  view.setNode(testNode('n', 8, { status: { ...testNode('n', 8).status, images } }));
  for (const name of ['python:3', 'docker.io/python:3', `python:3@${SHA}`, 'registry.test/a:1'])
    expect(view.hasImage('n', name)).toBe(true);
  for (const name of ['python', 'a:1', 'registry.test/a'])
    expect(view.hasImage('n', name)).toBe(false);
});
