import { expect, test } from 'vitest';
import { jobSpecSchema } from './index.ts';

test('a resource with a name that none can have is told what names are', () => {
  const spec = { argv: ['true'], resources: { countable: { 'no/such/thing': 1 } } };
  const { error } = jobSpecSchema.safeParse(spec);
  expect(error!.issues).toMatchObject([
    {
      path: ['resources', 'countable', 'no/such/thing'],
      message: 'letters, digits, ".", "_" and "-", at most 63, behind a domain if any',
    },
  ]);
});
