import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // They need servers that `npm run kubernetes:build` makes, or Go, and have configurations of their own.
    exclude: ['**/node_modules/**', '**/*.{kubernetes,runner}.test.ts'],
    include: [
      'packages/*/src/**/*.test.ts',
      'apps/*/src/**/*.test.ts',
      'tools/**/*.test.ts',
      'e2e/**/*.test.ts',
      'examples/**/*.test.ts',
    ],
  },
});
