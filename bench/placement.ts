import type { Figure } from './figure.ts';
import { qualityFigures } from './placement-quality.ts';
import { speedFigures } from './placement-speed.ts';

/** How long a round takes, and how well it packs beside what else is used. */
export const placementFigures = (): Promise<Figure[]> =>
  Promise.resolve([...speedFigures(), ...qualityFigures()]);
