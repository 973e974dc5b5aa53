/** What has been seen of a cluster since the window was last set. */
export type WindowNews =
  /** A container started, `sinceMs` after its pod was created. */
  | { readonly kind: 'started' }
  | { readonly kind: 'start_failed'; readonly why: string }
  /** A creation was answered. */
  | { readonly kind: 'created'; readonly latencyMs: number }
  /** 429 or a fault of the server; `retryAfterMs` is what it asked for, 0 for nothing. */
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly retryAfterMs: number;
      /** Why there was no answer. */
      readonly detail?: string;
    };

/** How many pods may be created and not yet running, and why it is so many. */
export interface DispatchWindow {
  readonly limit: number;
  /** Nothing is created before. */
  readonly closedUntilMs: number;
  /** Until the first trouble each start makes room for one more: it doubles with every round. */
  readonly isSlowStart: boolean;
  readonly shrunkAtMs: number;
  /** Of the last time that it gave way; empty: never. A small window is explained by it for long. */
  readonly shrunkWhy: string;
  readonly why: string;
}

export const WINDOW_LIMITS = {
  first: 32,
  min: 4,
  /** At 700 creations a second and 3 s from creation to start: what a large cluster can take. */
  max: 2000,
  /** An API server in good health answers a creation within 10 to 100 ms. */
  latencyMsMax: 1000,
  /** One trouble is told by many answers; the window gives way once for them. */
  shrinkEveryMs: 1000,
  closedMs: 1000,
  /** Of one shape, until one of it starts: as many as the nodes that may pull one image at once. */
  ofShapeFirst: 16,
  /** A start takes 1 to 3 s; what takes longer than this waits for something else: a mount, a pull. */
  stuckMs: 10_000,
} as const;

export const openWindow = (): DispatchWindow => ({
  limit: WINDOW_LIMITS.first,
  closedUntilMs: 0,
  isSlowStart: true,
  shrunkAtMs: -Infinity,
  shrunkWhy: '',
  why: 'nothing has started yet',
});

function grow(window: DispatchWindow): DispatchWindow {
  const { max } = WINDOW_LIMITS;
  const step = window.isSlowStart ? 1 : 1 / window.limit;
  const limit = Math.min(max, window.limit + step);
  if (limit === max) return { ...window, limit, why: 'it is as large as it may be' };
  const { shrunkWhy } = window;
  const why = shrunkWhy === '' ? 'containers start' : `it grows again, after ${shrunkWhy}`;
  return { ...window, limit, why };
}

function shrink(
  window: DispatchWindow,
  how: { readonly factor: number; readonly why: string },
  nowMs: number,
): DispatchWindow {
  if (nowMs - window.shrunkAtMs < WINDOW_LIMITS.shrinkEveryMs) return window;
  const limit = Math.max(WINDOW_LIMITS.min, window.limit * how.factor);
  const { why } = how;
  return { ...window, limit, isSlowStart: false, shrunkAtMs: nowMs, shrunkWhy: why, why };
}

/**
 * Additive increase, multiplicative decrease (Chiu and Jain 1989), the rule by which strangers
 * share a link without asking each other: here the control plane of a cluster.
 */
export function nextWindow(
  window: DispatchWindow,
  news: WindowNews,
  nowMs: number,
): DispatchWindow {
  switch (news.kind) {
    case 'started':
      return grow(window);
    case 'start_failed':
      return shrink(window, { factor: 0.8, why: `a start failed: ${news.why}` }, nowMs);
    case 'created': {
      if (news.latencyMs <= WINDOW_LIMITS.latencyMsMax) return window;
      const seconds = (news.latencyMs / 1000).toFixed(1);
      return shrink(window, { factor: 0.7, why: `a creation took ${seconds} s` }, nowMs);
    }
    case 'refused': {
      const detail = news.detail === undefined ? '' : `: ${news.detail}`;
      const why = `the API server answered ${news.status || 'nothing'}${detail}`;
      const pauseMs = Math.max(news.retryAfterMs, WINDOW_LIMITS.closedMs);
      const closedUntilMs = Math.max(window.closedUntilMs, nowMs + pauseMs);
      return { ...shrink(window, { factor: 0.5, why }, nowMs), closedUntilMs };
    }
  }
}

/** How many more pods may be created now; `startingCount`: without those that are stuck. */
export const windowRoom = (window: DispatchWindow, startingCount: number, nowMs: number): number =>
  nowMs < window.closedUntilMs ? 0 : Math.max(0, Math.floor(window.limit) - startingCount);

/** A pod that was made then and has not started: it tells nothing of how much the cluster can take. */
export const isStuck = (madeAtMs: number, nowMs: number): boolean =>
  nowMs - madeAtMs >= WINDOW_LIMITS.stuckMs;

/** How pods of one shape fare. */
export interface ShapeStarts {
  /** Created and not yet running, the stuck ones too. */
  readonly podCount: number;
  /** When one of them was last known to run. */
  readonly wellAtMs: number;
}

/**
 * How many more pods of one shape may be on their way, as far as the shape goes. As long as none of it starts they are
 * few, and never more than half of the window: what keeps them may be their job, and others are to
 * start beside them.
 */
export function shapeRoom(
  window: DispatchWindow,
  { podCount, wellAtMs }: ShapeStarts,
  nowMs: number,
): number {
  if (nowMs - wellAtMs < WINDOW_LIMITS.stuckMs) return Infinity;
  const limit = Math.min(WINDOW_LIMITS.ofShapeFirst, window.limit / 2);
  return Math.max(0, Math.floor(limit) - podCount);
}
