import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { PresignedRequest, StoredObject } from './object-store.ts';
import type { S3Bucket } from './s3-bucket.ts';

/** A mark of use holds for a day: what comes later would come unmarked. */
const EXPIRES_SECONDS_MAX = 12 * 3600;

function checkExpiry(expiresIn: number): void {
  if (expiresIn > 0 && expiresIn <= EXPIRES_SECONDS_MAX) return;
  throw new RangeError(`a presigned URL lives ${EXPIRES_SECONDS_MAX} s at most, not ${expiresIn}`);
}

export async function presignGet(
  bucket: S3Bucket,
  key: string,
  expiresIn: number,
): Promise<PresignedRequest> {
  checkExpiry(expiresIn);
  const command = new GetObjectCommand({ Bucket: bucket.name, Key: key });
  return { url: await getSignedUrl(bucket.client, command, { expiresIn }), headers: {} };
}

/** Hash and length are part of what is signed: the server takes nothing else. */
export async function presignPut(
  bucket: S3Bucket,
  key: string,
  content: StoredObject,
  expiresIn: number,
): Promise<PresignedRequest> {
  checkExpiry(expiresIn);
  const sha256 = Buffer.from(content.object, 'hex').toString('base64');
  const command = new PutObjectCommand({
    Bucket: bucket.name,
    Key: key,
    ContentLength: content.sizeBytes,
    ChecksumSHA256: sha256,
  });
  const url = await getSignedUrl(bucket.client, command, {
    expiresIn,
    signableHeaders: new Set(['host', 'content-length', 'x-amz-checksum-sha256']),
    unhoistableHeaders: new Set(['x-amz-checksum-sha256']),
  });
  const headers = {
    'content-length': String(content.sizeBytes),
    'x-amz-checksum-sha256': sha256,
  };
  return { url, headers };
}
