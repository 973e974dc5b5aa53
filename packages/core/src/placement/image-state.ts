import type { NodeIndex } from './node-index.ts';
import { Term } from './term.ts';

/** Pulls of one image that may run at once; a registry does not survive a thousand. */
export interface ImagePulls {
  /** At first; then as many as have it already, since its registry has served them. */
  readonly nodesMax: number;
  /** The nodes that pull an image now: one more task of it there is no pull more. */
  readonly nodesByImage: ReadonlyMap<string, ReadonlySet<string>>;
}

const PULLS_GROWN_MAX = 128;

/** Nodes with an image, as a round knows it: a node that was told to pull it counts. */
export interface ImageState {
  readonly nodes: Term;
  readonly pullsMax: number;
  pullsLeft: number;
}

/** With no pull left, the image decides on the nodes too. */
export const isBinding = (image: ImageState | undefined): image is ImageState =>
  image !== undefined && image.pullsLeft <= 0;

/** The images that a round has met, by number; 0 is none. */
export class Images {
  readonly #index: NodeIndex;
  readonly #pulls: ImagePulls;
  readonly #numbers = new Map<string, number>();
  readonly #states: (ImageState | undefined)[] = [undefined];

  constructor(index: NodeIndex, pulls: ImagePulls) {
    this.#index = index;
    this.#pulls = pulls;
  }

  numberOf(image: string): number {
    const known = this.#numbers.get(image);
    if (known !== undefined) return known;
    const number = this.#states.push(this.#stateOf(image)) - 1;
    this.#numbers.set(image, number);
    return number;
  }

  at(number: number): ImageState | undefined {
    return this.#states[number];
  }

  #stateOf(image: string): ImageState {
    const { nodesMax, nodesByImage } = this.#pulls;
    const pulling = nodesByImage.get(image);
    const nodes = new Term();
    for (const slot of this.#index.places.withImage(image).slots) nodes.add(slot);
    const pullsMax = Math.max(nodesMax, Math.min(nodes.size, PULLS_GROWN_MAX));
    for (const name of pulling ?? []) {
      const slot = this.#index.slotOf(name);
      if (slot !== undefined) nodes.add(slot);
    }
    return { nodes, pullsMax, pullsLeft: pullsMax - (pulling?.size ?? 0) };
  }
}
