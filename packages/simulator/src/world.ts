import type { MemoryDatabase } from '@majorana/store/memory-store';
import type { Faults } from './faults.ts';
import type { Oracle } from './oracle.ts';
import type { Random } from './random.ts';
import type { Trace } from './trace.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What every simulated part shares. */
export interface World {
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly faults: Faults;
  readonly oracle: Oracle;
  readonly database: MemoryDatabase;
  /** The seed's root; each part takes its own named stream. */
  readonly random: Random;
}
