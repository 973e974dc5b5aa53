import type { CompletedPart, S3Client } from '@aws-sdk/client-s3';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';

interface CopyInput {
  readonly Bucket: string;
  readonly CopySource: string;
  readonly Key: string;
}

/** A copy within the server of what is too large for one request. */
export async function copyInParts(
  client: S3Client,
  { Bucket, CopySource, Key }: CopyInput,
  sizeBytes: number,
  partBytes: number,
): Promise<void> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
  const at = { Bucket, Key, UploadId };
  try {
    const Parts: CompletedPart[] = [];
    for (let start = 0; start < sizeBytes; start += partBytes) {
      const PartNumber = Parts.length + 1;
      const end = Math.min(start + partBytes, sizeBytes) - 1;
      const CopySourceRange = `bytes=${start}-${end}`;
      const part = { ...at, PartNumber, CopySource, CopySourceRange };
      const { CopyPartResult } = await client.send(new UploadPartCopyCommand(part));
      Parts.push({ PartNumber, ETag: CopyPartResult?.ETag });
    }
    await client.send(new CompleteMultipartUploadCommand({ ...at, MultipartUpload: { Parts } }));
  } catch (error) {
    await client.send(new AbortMultipartUploadCommand(at)).catch(() => undefined);
    throw error;
  }
}
