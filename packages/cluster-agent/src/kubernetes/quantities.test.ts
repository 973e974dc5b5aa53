import { NO_RESOURCES } from '@majorana/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Pod } from './objects.ts';
import { parseQuantity, podRequests, readResources, writeResources } from './quantities.ts';
import { NAMES } from './test-objects.ts';

test.each([
  ['250m', 0.25],
  ['2', 2],
  ['0.1', 0.1],
  ['.5', 0.5],
  ['5.', 5],
  ['1.5Gi', 1.5 * 2 ** 30],
  ['128Mi', 2 ** 27],
  ['64k', 64_000],
  ['1E', 1e18],
  ['1E3', 1000],
  ['12e6', 12e6],
  ['1e-3', 0.001],
  ['100u', 1e-4],
  ['-1', -1],
  ['1Zi', 0],
  ['many', 0],
  ['', 0],
  [undefined, 0],
])('the quantity %s is %d', (text, amount) => {
  expect(parseQuantity(text)).toBeCloseTo(amount, 12);
});

test.each([
  ['1.1', 1100],
  ['0.57', 570],
  ['4.35', 4350],
  ['100u', 1],
  ['1m', 1],
])('%s cores are %d thousandths, rounded up as Kubernetes does', (cpu, cpuMillis) => {
  expect(readResources({ cpu }, NAMES).cpuMillis).toBe(cpuMillis);
});

test('huge pages of a job are pages, those of Kubernetes bytes', () => {
  const resources = { ...NO_RESOURCES, countable: { 'hugepages-2Mi': 512, 'hugepages-1Gi': 3 } };
  const written = { 'hugepages-2Mi': String(2 ** 30), 'hugepages-1Gi': String(3 * 2 ** 30) };
  expect(writeResources(resources, NAMES)).toMatchObject(written);
  const ofNode = { 'hugepages-2Mi': '1Gi', 'hugepages-1Gi': '0' };
  expect(readResources(ofNode, NAMES).countable).toEqual({ 'hugepages-2Mi': 512 });
});

test('what is written for a container is read again as it was', () => {
  const amount = fc.nat(2 ** 40);
  const resources = fc.record({
    cpuMillis: fc.nat(1_000_000),
    memoryBytes: amount,
    scratchBytes: amount,
    shmBytes: fc.constant(0),
    gpuCount: fc.nat(16),
    countable: fc.dictionary(
      fc.constantFrom('example.com/licence', 'hugepages-2Mi', 'hugepages-x'),
      fc.integer({ min: 1, max: 9 }),
    ),
  });
  fc.assert(
    fc.property(resources, (asked) => {
      expect(readResources(writeResources(asked, NAMES), NAMES)).toEqual(asked);
    }),
  );
});

test('a pod takes its containers together, or its largest start, with what stays and its overhead', () => {
  const requests = (cpu: string) => ({ resources: { requests: { cpu } } });
  const pod: Pod = {
    metadata: { name: 'p' },
    spec: {
      overhead: { cpu: '50m' },
      initContainers: [
        requests('2'),
        { restartPolicy: 'Always', ...requests('300m') },
        requests('3'),
      ],
      containers: [
        { name: 'a', ...requests('1') },
        { name: 'b', ...requests('500m') },
      ],
    },
  };
  // 300m stay while the second start takes 3: more than 1.5 + 0.3.
  expect(podRequests(pod, NAMES).cpuMillis).toBe(3350);
});

test('what is asked for a pod as a whole goes before its containers, its overhead on top', () => {
  const resources = { requests: { cpu: '1', memory: '64Mi' } };
  const pod: Pod = {
    metadata: { name: 'p' },
    spec: {
      overhead: { cpu: '50m' },
      resources: { requests: { cpu: '3' } },
      containers: [
        { name: 'a', resources },
        { name: 'b', resources },
      ],
    },
  };
  expect(podRequests(pod, NAMES)).toMatchObject({ cpuMillis: 3050, memoryBytes: 2 ** 27 });
});

test('while a pod is resized it takes the larger of what it asks for and what it has', () => {
  const cpuOf = (asked: string, given: string): number =>
    podRequests(
      {
        metadata: { name: 'p' },
        spec: { containers: [{ name: 'a', resources: { requests: { cpu: asked } } }] },
        status: { containerStatuses: [{ name: 'a', allocatedResources: { cpu: given } }] },
      },
      NAMES,
    ).cpuMillis;
  expect(cpuOf('1', '3')).toBe(3000);
  expect(cpuOf('3', '1')).toBe(3000);
});
