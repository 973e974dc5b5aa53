export { FolderObjects } from './folder-objects.ts';
export type { ObjectStat, ObjectStore, PresignedRequest, StoredObject } from './object-store.ts';
export {
  ObjectDamagedError,
  ObjectMissingError,
  ObjectStoreUnavailableError,
} from './object-store.ts';
export { openObjects } from './open-objects.ts';
