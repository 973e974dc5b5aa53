export { FolderObjects } from './folder-objects.ts';
export type { ObjectStat, ObjectStore, StoredObject } from './object-store.ts';
export { ObjectDamagedError, ObjectMissingError } from './object-store.ts';
