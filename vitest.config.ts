import { configDefaults, defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Those need servers that npm does not bring; npm run test:s3 and test:kubernetes have them.
    exclude: [...configDefaults.exclude, '**/*.s3.test.ts', '**/*.kubernetes.test.ts'],
    include: [
      'packages/*/src/**/*.test.ts',
      'apps/*/src/**/*.test.ts',
      'tools/**/*.test.ts',
      'e2e/**/*.test.ts',
      'examples/**/*.test.ts',
    ],
  },
});
