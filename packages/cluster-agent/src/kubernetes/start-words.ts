import type { KubernetesEvent } from './objects.ts';

/** The kubelet's last word on a start: `FailedMount: MountVolume.SetUp failed for …`. */
export interface StartWord {
  readonly text: string;
}

/** Says of every pod that it has no DNS of the cluster, whatever it does. */
const NOISE = new Set(['MissingClusterDNS']);

/** Their times count seconds; of one second the later has the greater name, made of nanoseconds. */
function byTime(a: KubernetesEvent, b: KubernetesEvent): number {
  const [first = '', second = ''] = [a, b].map(
    ({ lastTimestamp, eventTime, metadata }) => `${lastTimestamp ?? eventTime} ${metadata.name}`,
  );
  return first < second ? -1 : 1;
}

export function lastWord(events: readonly KubernetesEvent[]): StartWord | undefined {
  const last = events
    .filter(({ reason = '' }) => !NOISE.has(reason))
    .toSorted(byTime)
    .at(-1);
  if (last === undefined) return undefined;
  const { reason = '', message = '' } = last;
  return { text: `${reason}: ${message}` };
}
