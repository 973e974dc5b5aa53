import type { EndedEvent, Lease, LogRequest } from '@majorana/protocol';

export type { Exchange } from '@majorana/broker';

export interface AgentClock {
  nowMs(): number;
  /** Calls back once after this time; the answer cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

/**
 * Where an attempt stands on this host, told from what survives the agent:
 * `absent` (nothing kept, or its inputs are not all laid in), `accepted` (lease kept, not started;
 * `mayBegin`: handed over to where it runs, which may have started it and not told yet), `running`
 * (with `isBroken` one of these has lost a part, and the rest must end too), `exited` (its end is on record, nothing stored yet; `event`: that end, no artifacts),
 * `collected` (logs, outputs and outcome are stored), `gone` (it was started, and nothing guards it
 * any more: the guard was killed, or the machine rebooted; `reason` says which).
 */
export type AttemptStanding =
  | { readonly kind: 'absent' }
  | { readonly kind: 'accepted'; readonly mayBegin?: boolean; readonly isBroken?: boolean }
  | { readonly kind: 'running'; readonly startedAtMs: number; readonly isBroken?: boolean }
  | { readonly kind: 'exited'; readonly event?: EndedEvent }
  | { readonly kind: 'collected'; readonly event: EndedEvent }
  | { readonly kind: 'gone'; readonly reason: string; readonly faultyNode?: string };

/** Trying again cannot help: an input that is nowhere, a path outside the working directory. */
export class LeaseRefusedError extends Error {
  override name = 'LeaseRefusedError';
}

/** Whoever runs the place does not let it start for now: after a while another place may. */
export class HeldBackError extends Error {
  override name = 'HeldBackError';
}

/** Everything the agent does to the place where tasks run. Each call may be repeated after a crash. */
export interface AttemptHost {
  /** The attempts this host remembers, each with its lease. */
  list(): Promise<readonly { readonly attemptId: string; readonly lease: Lease }[]>;
  inspect(attemptId: string): Promise<AttemptStanding>;
  /**
   * Keeps the lease and lays in the inputs. A `LeaseRefusedError` says what the user must know and
   * ends the attempt; any other rejection (a full disk) is tried again.
   */
  accept(lease: Lease): Promise<void>;
  /**
   * Starts it; a second call for the same attempt starts nothing. A `HeldBackError` that lasts gives
   * the lease back; any other rejection is tried again.
   */
  start(attemptId: string): Promise<void>;
  /** TERM to the whole tree, KILL after the grace; nothing when it does not run. */
  end(attemptId: string): Promise<void>;
  /** How long a collect that is refused is tried again; ten minutes unless said. */
  readonly collectPatienceMs?: number | undefined;
  /** Stores logs and outputs, then the outcome. A repeated call gives the same event. */
  collect(attemptId: string): Promise<EndedEvent>;
  /**
   * Keeps an outcome that stores nothing (refused inputs, cancelled before its start, lost). Nothing
   * starts the attempt afterwards, not even a start under way; rejects while it runs,
   * and when it has run unless the event says so by its `startedAtMs`.
   */
  conclude(event: EndedEvent): Promise<void>;
  readLog(request: LogRequest): Promise<Uint8Array>;
  /** What an attempt that has not started waits for, for a person. */
  describeStart?(attemptId: string): Promise<string>;
  forget(attemptId: string): Promise<void>;
  /** Called with the attempt whose standing may have changed; notices may be lost. */
  onChange(callback: (attemptId: string) => void): void;
}
