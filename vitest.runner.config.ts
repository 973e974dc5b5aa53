import { defineConfig } from 'vitest/config';

/** Tests of the runner, which `npm run runner:build` builds by Go. */
export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 60_000,
    include: ['packages/*/src/**/*.runner.test.ts'],
    // Each file has a PostgreSQL and writes gigabytes.
    fileParallelism: false,
  },
});
