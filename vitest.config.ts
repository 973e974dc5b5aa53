import { defineConfig } from 'vitest/config';

/** Need Go: `npm run test:runner`. */
const RUNNER_TESTS = 'packages/*/src/**/*.runner.test.ts';

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
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
          exclude: [RUNNER_TESTS],
        },
      },
      { extends: true, test: { name: 'runner', include: [RUNNER_TESTS] } },
    ],
  },
});
