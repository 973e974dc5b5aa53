import type { Readable } from 'node:stream';

export interface StoredObject {
  /** SHA-256 of the content, 64 hexadecimal digits. */
  readonly object: string;
  readonly sizeBytes: number;
}

export interface ObjectStat extends StoredObject {
  /** When it was last put, be it for the first time or again: garbage collection goes by this. */
  readonly usedAtMs: number;
}

export class ObjectMissingError extends Error {
  override name = 'ObjectMissingError';
  readonly code = 'object_missing';
  readonly object: string;

  constructor(object: string, where: string) {
    super(`object ${object} is not in ${where}`);
    this.object = object;
  }
}

export class ObjectDamagedError extends Error {
  override name = 'ObjectDamagedError';
  readonly code = 'object_damaged';
  readonly object: string;

  constructor(object: string, where: string, found: string) {
    super(`object ${object} in ${where} is damaged: its content has the SHA-256 ${found}`);
    this.object = object;
  }
}

/** The store itself does not work just now, or is set up wrongly. */
export class ObjectStoreUnavailableError extends Error {
  override name = 'ObjectStoreUnavailableError';
}

/** A request that anybody can send who has it, until it expires. */
export interface PresignedRequest {
  readonly url: string;
  /** To be sent as they are. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Content-addressed objects. An object is there whole or not at all, and never changes. What a put
 * has answered survives the loss of power. Memory is bounded whatever the size of an object.
 */
export interface ObjectStore {
  putStream(source: Readable): Promise<StoredObject>;
  putFile(file: string): Promise<StoredObject>;
  has(object: string): Promise<boolean>;
  stat(object: string): Promise<ObjectStat>;
  /** As a put of what is there already: garbage collection spares it anew. False when it is missing. */
  touch(object: string): Promise<boolean>;
  /**
   * Bytes `start` to `end`, both included and counted from 0, as in an HTTP Range header; what lies
   * beyond the end of the object is left out. A read of the whole object checks its hash and fails
   * at its end with an `ObjectDamagedError`; a range cannot be checked.
   */
  read(object: string, start?: number, end?: number): Promise<Readable>;
  /** Lays a checked copy at a path, so that a task which edits it harms nobody else. */
  copyTo(object: string, target: string): Promise<void>;
  list(): AsyncIterable<ObjectStat>;
  /** Removes it unless it has been put since; answers whether it is gone. */
  remove(object: string, usedBeforeMs: number): Promise<boolean>;
  /** Takes away what broken-off puts and removals have left, if it is older than this. */
  removeLeftovers(writtenBeforeMs: number): Promise<void>;
  /** For whoever has no credentials: reads the object. Who reads it checks the hash. */
  presignGet?(object: string, expiresInSeconds: number): Promise<PresignedRequest>;
  /**
   * For whoever has no credentials: brings just this content, and no other. Undefined when it is
   * there already; it has been touched then.
   */
  presignPut?(
    content: StoredObject,
    expiresInSeconds: number,
  ): Promise<PresignedRequest | undefined>;
}
