/** How much the engine does at once. The simulator draws small ones, so that each limit is met. */
export interface EngineLimits {
  /** Queued tasks with a row that one job keeps in memory; the rest is read when these run low. */
  readonly queuedWindowMax: number;
  /** Queued rows of one job looked at in one turn. */
  readonly readyPerJobMax: number;
  /** Leases one agent may get in one turn: bounds the transaction. */
  readonly leasesPerTurnMax: number;
  readonly leasesPerAnswerMax: number;
  /** Rows moved at once: about half a second, in which agents wait. */
  readonly bulkRowsMax: number;
}

export const ENGINE_LIMITS: EngineLimits = {
  queuedWindowMax: 4096,
  readyPerJobMax: 1024,
  leasesPerTurnMax: 256,
  leasesPerAnswerMax: 1024,
  bulkRowsMax: 50_000,
};
