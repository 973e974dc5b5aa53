import type { ClusterSettings } from '@majorana/protocol';
import { parseLeaseTtl } from './lease-ttl.ts';

export interface SettingsOptions {
  readonly leaseTtl?: string;
  readonly dataPricePerGb?: number;
}

/** What was asked to be set; undefined: nothing. */
export function settingsOf(options: SettingsOptions): ClusterSettings | undefined {
  const { leaseTtl, dataPricePerGb } = options;
  if (leaseTtl === undefined && dataPricePerGb === undefined) return undefined;
  return {
    ...(leaseTtl !== undefined && { leaseTtlMs: parseLeaseTtl(leaseTtl) }),
    ...(dataPricePerGb !== undefined && { dataPricePerGb }),
  };
}
