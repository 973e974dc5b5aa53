import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { linesOf } from './lines.ts';

/** One request as the API server itself counted it. */
export interface AuditEvent {
  readonly stage: 'ResponseStarted' | 'ResponseComplete' | 'Panic';
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly userAgent?: string;
  readonly objectRef?: {
    readonly resource: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code: number };
}

/** Metadata of every request, once it is answered: who, what, on which object, with which status. */
export const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata' }],
};

export class AuditLog {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The place where what follows from now on will stand; ask it before, and read from it after. */
  async mark(): Promise<number> {
    return (await stat(this.path)).size;
  }

  /**
   * The requests since a mark that were answered in full; a watch counts when it ends. A line may
   * be written a moment after its answer was read: wait for the last one that must be there.
   */
  async *requests(mark = 0): AsyncGenerator<AuditEvent> {
    for await (const line of linesOf(createReadStream(this.path, { start: mark }))) {
      const event = JSON.parse(line) as AuditEvent;
      if (event.stage === 'ResponseComplete') yield event;
    }
  }

  async requestsOf(username: string, mark = 0): Promise<AuditEvent[]> {
    const own: AuditEvent[] = [];
    for await (const event of this.requests(mark)) {
      if (event.user.username === username) own.push(event);
    }
    return own;
  }
}
