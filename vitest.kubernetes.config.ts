import { defineConfig } from 'vitest/config';

/** Tests against a real Kubernetes; its servers are built by `npm run kubernetes:build`. */
export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    include: ['{packages,e2e}/**/*.kubernetes.test.ts'],
    // Each file starts an API server of 300 MB, and start-up takes two cores for seconds.
    fileParallelism: false,
  },
});
