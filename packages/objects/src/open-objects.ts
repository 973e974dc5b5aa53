import { FolderObjects } from './folder-objects.ts';
import type { ObjectStore } from './object-store.ts';

/**
 * The store that `MAJORANA_OBJECTS_URL` names, looked at once so that a mistake is told at the
 * start; without it the folder. S3's client takes 150 ms to load: only those who use it pay.
 */
export async function openObjects(url: string | undefined, folder: string): Promise<ObjectStore> {
  if (url === undefined || url === '') return new FolderObjects(folder);
  const { openS3 } = await import('./open-s3.ts');
  return openS3(url);
}
