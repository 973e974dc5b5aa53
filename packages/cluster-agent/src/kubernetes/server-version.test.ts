import { expect, test } from 'vitest';
import { ServerVersion } from './server-version.ts';

test('a server that is replaced is told with its new version within minutes, and keeps its last while it is away', async () => {
  const answers = ['v1.34.4', undefined, 'v1.37.2'];
  let asked = 0;
  const version = new ServerVersion(() => {
    const gitVersion = answers[asked];
    asked += 1;
    return gitVersion === undefined
      ? Promise.reject(new Error('away'))
      : Promise.resolve({ gitVersion });
  });
  await version.read(0);
  expect(version.current(299_999)).toBe('v1.34.4');
  expect(asked).toBe(1);
  await version.read(300_000);
  expect(version.current(300_001)).toBe('v1.34.4');
  expect(version.current(600_000)).toBe('v1.34.4');
  await Promise.resolve();
  await Promise.resolve();
  expect(version.current(600_001)).toBe('v1.37.2');
  expect(asked).toBe(3);
});
