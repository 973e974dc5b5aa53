/** Where an S3 store is. */
export interface S3Location {
  readonly bucket: string;
  /** Ends with a slash, or is empty. */
  readonly prefix: string;
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  /** The bucket as the first part of the path, not as the first part of the host's name. */
  readonly isPathStyle: boolean;
}

const FORM = 's3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=REGION&style=path';
const PARAMETERS = new Set(['endpoint', 'region', 'style']);

function wrong(what: string): never {
  throw new Error(`MAJORANA_OBJECTS_URL: ${what}; it has the form ${FORM}`);
}

function checkedEndpoint(text: string): string {
  const endpoint = URL.canParse(text) ? new URL(text) : undefined;
  if (endpoint?.protocol !== 'http:' && endpoint?.protocol !== 'https:') {
    wrong('endpoint is no http or https address');
  }
  if (endpoint.username !== '') wrong('endpoint must hold no credentials');
  return endpoint.href;
}

/** Reads `s3://bucket/prefix?endpoint=…&region=…&style=path`; it never repeats a secret. */
export function parseS3Url(text: string): S3Location {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 's3:') wrong('only s3:// is known; without it objects are in a folder');
  if (url.username !== '' || url.password !== '') {
    wrong('it must hold no credentials: AWS_ACCESS_KEY_ID and the like, a profile or a role do');
  }
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(url.host))
    wrong('the name of the bucket is wrong');
  const unknown = [...url.searchParams.keys()].find((name) => !PARAMETERS.has(name));
  if (unknown !== undefined) wrong(`there is no parameter ${unknown}`);
  const style = url.searchParams.get('style') ?? 'virtual-host';
  if (style !== 'path' && style !== 'virtual-host') wrong('style is path or virtual-host');
  const prefix = decodeURIComponent(url.pathname).replaceAll(/^\/+|\/+$/g, '');
  const endpoint = url.searchParams.get('endpoint');
  return {
    bucket: url.host,
    prefix: prefix === '' ? '' : `${prefix}/`,
    endpoint: endpoint === null ? undefined : checkedEndpoint(endpoint),
    region: url.searchParams.get('region') ?? undefined,
    isPathStyle: style === 'path',
  };
}
