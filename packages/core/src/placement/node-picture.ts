import type { Resources } from '../resources.ts';

export interface Taint {
  readonly key: string;
  readonly value: string;
  readonly effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
  /** What the node is, or what befell it, and no wish of who runs it: a toleration must mean just that. */
  readonly isFact?: true;
}

/** What some pods of a node will give back, and when that is predicted. */
export interface RunningEnd {
  /** `undefined`: they end, but nobody can say when. */
  readonly endsAtMs: number | undefined;
  readonly resources: Resources;
  readonly podCount: number;
}

/** A node as the agent's watches show it. */
export interface NodePicture {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  /** False when the node is cordoned. */
  readonly isSchedulable: boolean;
  readonly notReadySinceMs?: number;
  /** After a pod failed to start here, nothing is placed until then. */
  readonly coolDownUntilMs?: number;
  /** What Kubernetes says pods may use; GPUs stand in `gpuCount`, other devices in `countable`. */
  readonly allocatable: Resources;
  readonly podsMax: number;
  /** The requests of everything that runs here: ours, daemon sets, other people's pods. */
  readonly held: Resources;
  readonly podCount: number;
  readonly images: ReadonlySet<string>;
  /**
   * Our pods only, the earliest first, the unknown last. What never ends by itself, such as a
   * daemon set, is held but does not stand here.
   */
  readonly runningEnds: readonly RunningEnd[];
}
