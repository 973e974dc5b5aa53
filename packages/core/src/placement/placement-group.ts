import type { Resources } from '../resources.ts';

export interface Toleration {
  /** Empty with `Exists`: every taint. */
  readonly key: string;
  readonly operator: 'Exists' | 'Equal';
  readonly value?: string;
  /** Missing: every effect. */
  readonly effect?: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
  /** It is for facts alone; without it for all taints but those. */
  readonly isFact?: true;
}

/** Ranks that start together or not at all. */
export interface Gang {
  readonly size: number;
  /** At most this many ranks on one node; missing: as many as fit. */
  readonly ranksPerNodeMax?: number;
  /** All ranks on nodes with one value of this label, such as a zone. */
  readonly topologyKey?: string;
}

/** What decides where a task may run. */
export interface TaskShape {
  /** `shmBytes` is inside memory; `gpuCount` asks for the node's GPU resource. */
  readonly resources: Resources;
  readonly podsPerTask: number;
  readonly nodeSelector: Readonly<Record<string, string>>;
  readonly tolerations: readonly Toleration[];
}

/** Leased tasks of one shape that wait for a node. */
export interface PlacementGroup extends TaskShape {
  readonly key: string;
  readonly priority: number;
  readonly waitingSinceMs: number;
  /** How many tasks; with a gang, how many gangs. */
  readonly count: number;
  /** `pack` fills nodes that are in use already; `spread` takes the emptiest. */
  readonly policy: 'pack' | 'spread';
  readonly image?: string;
  readonly expectedDurationMs?: number;
  readonly gang?: Gang;
}
