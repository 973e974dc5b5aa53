import { expect, test } from 'vitest';
import { parseS3Url } from './s3-url.ts';

test('a URL names bucket, prefix, endpoint, region and style', () => {
  const url = 's3://data/lab/one/?endpoint=http://127.0.0.1:9000&region=eu-west-1&style=path';
  expect(parseS3Url(url)).toEqual({
    bucket: 'data',
    prefix: 'lab/one/',
    endpoint: 'http://127.0.0.1:9000/',
    region: 'eu-west-1',
    isPathStyle: true,
  });
  expect(parseS3Url('s3://data')).toEqual({
    bucket: 'data',
    prefix: '',
    endpoint: undefined,
    region: undefined,
    isPathStyle: false,
  });
});

test.each([
  ['gs://data', 'only s3:// is known'],
  ['data', 'only s3:// is known'],
  ['s3://KEY:SECRET@data', 'no credentials'],
  ['s3://data?endpoint=http://KEY:SECRET@host', 'no credentials'],
  ['s3://data?endpoint=host:9000', 'endpoint is no http or https address'],
  ['s3://data?style=host', 'style is path or virtual-host'],
  ['s3://data?retries=3', 'there is no parameter retries'],
  ['s3://d', 'the name of the bucket is wrong'],
])('%s is refused, and no secret is repeated', (url, what) => {
  expect(() => parseS3Url(url)).toThrow(what);
  expect(() => parseS3Url(url)).not.toThrow('SECRET');
});
