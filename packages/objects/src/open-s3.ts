import { S3Client } from '@aws-sdk/client-s3';
import { S3Bucket } from './s3-bucket.ts';
import { S3Objects } from './s3-objects.ts';
import { parseS3Url } from './s3-url.ts';

const CONNECTION_TIMEOUT_MS = 5000;
/** Without a byte: putting the parts of a large object together takes a server its time. */
const SILENCE_MAX_MS = 120_000;
/** Servers of one's own ask for any; AWS' real one comes from the URL, the environment or a profile. */
const REGION_DEFAULT = 'us-east-1';

export async function openS3(text: string): Promise<S3Objects> {
  const { bucket, prefix, endpoint, region, isPathStyle } = parseS3Url(text);
  const named =
    region ?? (endpoint === undefined ? undefined : (process.env['AWS_REGION'] ?? REGION_DEFAULT));
  const client = new S3Client({
    ...(named === undefined ? {} : { region: named }),
    ...(endpoint === undefined ? {} : { endpoint }),
    forcePathStyle: isPathStyle,
    requestHandler: { connectionTimeout: CONNECTION_TIMEOUT_MS, socketTimeout: SILENCE_MAX_MS },
  });
  const where = `s3://${bucket}/${prefix}${endpoint === undefined ? '' : ` at ${endpoint}`}`;
  const store = new S3Bucket({ client, bucket, where });
  await store.check(prefix);
  return new S3Objects(store, prefix);
}
