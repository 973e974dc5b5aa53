import { ObjectStoreUnavailableError } from './object-store.ts';

interface AwsError extends Error {
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

export const statusOf = (error: unknown): number | undefined =>
  (error as AwsError).$metadata?.httpStatusCode;

/** A server without conditional writes says so, or does not know the header. */
export const isNotImplemented = (error: unknown): boolean =>
  statusOf(error) === 501 || (error as Error).name === 'NotImplemented';

/** Another put was first, or is just ending. */
export const isLostRace = (error: unknown): boolean =>
  statusOf(error) === 412 ||
  (statusOf(error) === 409 && (error as Error).name !== 'BucketNotEmpty');

const UNREACHABLE =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ECONNRESET|EPIPE)$/;

function reasonOf(error: AwsError): string | undefined {
  const status = statusOf(error);
  if (error.name === 'NoSuchBucket') return 'there is no such bucket: create it, or mend the name';
  if (error.name === 'PermanentRedirect' || error.name === 'AuthorizationHeaderMalformed') {
    return `the bucket is in another region (${error.message})`;
  }
  if (status === 401 || status === 403) {
    return `access is denied (${error.name}): check the credentials and what they may do there`;
  }
  if (error.name === 'CredentialsProviderError') {
    return 'no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role';
  }
  if (UNREACHABLE.test(error.code ?? '') || error.name === 'TimeoutError') {
    return `it cannot be reached (${error.code ?? error.name})`;
  }
  if (status !== undefined && status >= 500) return `it answers ${status} (${error.name})`;
  return undefined;
}

/** In words that name the place and what to do; what is no fault of the place stays as it is. */
export function explainS3Error(error: unknown, where: string): Error {
  const reason = reasonOf(error as AwsError);
  if (reason === undefined) return error as Error;
  return new ObjectStoreUnavailableError(`${where}: ${reason}`, { cause: error });
}
