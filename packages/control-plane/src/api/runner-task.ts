import type { ObjectStore } from '@majorana/objects';
import { ObjectMissingError } from '@majorana/objects';
import type { Lease, RunnerTask, RunnerUploadTargets } from '@majorana/protocol';
import { gpuVariables, taskVariables } from '@majorana/protocol';

/** How long a URL of the store may be used: a runner fetches within minutes, or asks anew. */
const URL_SECONDS = 3600;
/** Of a gather with more inputs each is asked for by itself: 100,000 URLs are 50 MB. */
const INPUT_URLS_MAX = 100;
/** What a store takes by one request; more is passed on by us, in parts. */
const PRESIGNED_PUT_BYTES_MAX = 5 * 1024 ** 3;

/** What a runner has to do, from the lease that an agent would have got. */
export async function runnerTask(lease: Lease, objects: ObjectStore): Promise<RunnerTask> {
  const { attemptId, argv, env, inputs, outputs, resources, timeLimitMs, graceMs, gang } = lease;
  // With GPUs, the cluster's device plugin says which.
  const gpus = resources.gpuCount === 0 ? gpuVariables([]) : {};
  return {
    attemptId,
    argv: [...argv],
    env: { ...gpus, ...taskVariables(lease), ...env },
    inputs:
      inputs.length > INPUT_URLS_MAX
        ? [...inputs]
        : await Promise.all(
            inputs.map(async (one) => ({ ...one, ...(await urlOf(objects, one)) })),
          ),
    outputs: [...outputs],
    memoryBytes: resources.memoryBytes,
    timeLimitMs,
    graceMs,
    ...(gang && { gang }),
    ...(lease.checkpoint && { checkpoint: lease.checkpoint }),
  };
}

async function urlOf(
  objects: ObjectStore,
  { object }: { readonly object: string },
): Promise<{ url?: string; headers?: Record<string, string> }> {
  try {
    const request = await presignGet(objects, object);
    return request === undefined ? {} : { url: request.url, headers: { ...request.headers } };
  } catch (error) {
    // The runner asks for it by itself, and tells the user which input is missing.
    if (error instanceof ObjectMissingError) return {};
    throw error;
  }
}

export const presignGet = (
  objects: ObjectStore,
  object: string,
): ReturnType<NonNullable<ObjectStore['presignGet']>> | undefined =>
  objects.presignGet?.(object, URL_SECONDS);

type UploadTarget = RunnerUploadTargets['uploads'][number];

/** Where to put an object, or that it is there. It is touched then: garbage collection spares it. */
export async function uploadTarget(
  objects: ObjectStore,
  content: { readonly object: string; readonly sizeBytes: number },
): Promise<UploadTarget> {
  const { object, sizeBytes } = content;
  if (objects.presignPut !== undefined && sizeBytes <= PRESIGNED_PUT_BYTES_MAX) {
    const request = await objects.presignPut(content, URL_SECONDS);
    return request === undefined
      ? { object, isStored: true }
      : { object, isStored: false, url: request.url, headers: { ...request.headers } };
  }
  const isThere =
    (await objects.touch(object)) && (await objects.stat(object)).sizeBytes === sizeBytes;
  return { object, isStored: isThere };
}
