import { configDefaults, defineConfig } from 'vitest/config';

/**
 * Tests that need more than Node say so in their names, `NAME.NEED.test.ts`, and have a command of
 * their own, `npm run test:NEED`, which builds it first.
 */
const NEEDS = ['kubernetes', 'nats', 'runner', 's3', 'faults', 'mpi', 'gemmi'] as const;
const testsThatNeed = (what: string): string => `**/*.${what}.test.ts`;

export default defineConfig({
  test: {
    // Deadlines are for what hangs: a busy machine of two cores took over a minute for seven seconds of work.
    testTimeout: 180_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          include: [
            'packages/*/src/**/*.test.ts',
            'apps/*/src/**/*.test.ts',
            'tools/**/*.test.ts',
            'e2e/**/*.test.ts',
            'examples/**/*.test.ts',
          ],
          exclude: [...configDefaults.exclude, ...NEEDS.map(testsThatNeed)],
        },
      },
      ...NEEDS.map((name) => ({
        extends: true as const,
        test: {
          name,
          include: [testsThatNeed(name)],
          testTimeout: 300_000,
          hookTimeout: 120_000,
          // Each file starts servers of its own, and two cores start one at a time best.
          fileParallelism: false,
        },
      })),
    ],
  },
});
