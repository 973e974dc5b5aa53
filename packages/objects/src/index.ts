export { FolderObjects, ObjectMissingError } from './folder-objects.ts';
