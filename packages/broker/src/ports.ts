import type { AgentOrders, AgentSync } from '@majorana/protocol';

/**
 * An agent's side. One exchange with the control plane; rejects when there is no answer, with the
 * signal's reason when it is given up. An answer that comes later is nobody's.
 */
export type Exchange = (sync: AgentSync, signal: AbortSignal) => Promise<AgentOrders>;

/** The control plane's side: answers each exchange, those of one agent at the same time if need be. */
export type AnswerSync = (sync: AgentSync) => Promise<AgentOrders>;
