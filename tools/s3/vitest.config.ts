import { defineConfig } from 'vitest/config';

/** Against real S3 servers, which tools/s3/prepare.sh brings: `npm run test:s3`. */
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    testTimeout: 300_000,
    hookTimeout: 60_000,
    include: ['{packages/*/src,e2e}/**/*.s3.test.ts'],
  },
});
