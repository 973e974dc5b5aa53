import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // They need servers that `npm run kubernetes:build` makes, and have a configuration of their own.
    exclude: ['**/node_modules/**', '**/*.kubernetes.test.ts'],
    include: [
      'packages/*/src/**/*.test.ts',
      'apps/*/src/**/*.test.ts',
      'tools/**/*.test.ts',
      'e2e/**/*.test.ts',
      'examples/**/*.test.ts',
    ],
  },
});
