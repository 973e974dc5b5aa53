import type { MemoryDatabase } from '@majorana/store/memory-store';
import type { MemoryWorkflows } from '@majorana/store/memory-workflows';
import type { Faults } from './faults.ts';
import type { Oracle } from './oracle.ts';
import type { Random } from './random.ts';
import type { Trace } from './trace.ts';
import type { VirtualTime } from './virtual-time.ts';
import type { SimulatedObjects } from './workflows/programs.ts';

/** What every simulated part shares. */
export interface World {
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly faults: Faults;
  readonly oracle: Oracle;
  readonly database: MemoryDatabase;
  /** The seed's root; each part takes its own named stream. */
  readonly random: Random;
  /** Where runs of workflows are simulated: what outlives the server of them. */
  readonly workflows?: { readonly store: MemoryWorkflows; readonly objects: SimulatedObjects };
}
