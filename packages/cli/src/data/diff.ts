import type { Client } from '@majorana/client';
import type { DatasetDifference } from '@majorana/protocol';
import { CliError } from '../output.ts';
import type { DatasetReference } from './reference.ts';
import { pinVersion } from './reference.ts';

const PAGE_SIZE = 5000;

export async function* differences(
  client: Client,
  from: DatasetReference,
  to: DatasetReference,
  project: string | undefined,
): AsyncGenerator<DatasetDifference, void, undefined> {
  if (from.path !== undefined || to.path !== undefined)
    throw new CliError('versions are compared, not paths: NAME@1 NAME@2 is expected');
  const which = {
    project,
    from: await pinVersion(client, from, project),
    to: await pinVersion(client, to, project),
    ...(to.name === from.name ? {} : { toName: to.name }),
    limit: PAGE_SIZE,
  };
  for (let cursor: string | undefined; ;) {
    const page = await client.datasetDiff(from.name, { ...which, cursor });
    yield* page.differences;
    if (page.next === null) return;
    cursor = page.next;
  }
}
