import type { Constraint } from './constraint.ts';
import { narrow } from './constraint.ts';
import type { Demand } from './demand.ts';
import { isRare } from './demand.ts';
import type { NodePicture } from './node-picture.ts';
import type { TaskShape } from './placement-group.ts';
import { Term } from './term.ts';
import type { Tolerance } from './tolerance.ts';
import { Taints } from './tolerance.ts';

/** What a task may ask for, and no node has. */
const NO_NODE = new Term();
const NO_IMAGES: ReadonlySet<string> = new Set();

export type PlaceShape = Pick<TaskShape, 'nodeSelector' | 'tolerations'>;

type Labels = NodePicture['labels'];
type Images = NodePicture['images'];

/** What nodes are by their labels, taints, devices and images, whatever runs there: where a shape may go. */
export class Places {
  readonly #labels = new Map<string, Map<string, Term>>();
  readonly #taints = new Taints();
  readonly #images = new Map<string, Term>();
  readonly #devices = new Map<number, Term>();
  #termVersion = 0;

  /** `before`: of the same slot; undefined: a node has come, or has gone. */
  set(slot: number, before: NodePicture | undefined, after: NodePicture | undefined): void {
    this.#setLabels(slot, before?.labels ?? {}, after?.labels ?? {});
    this.#setImages(slot, before?.images ?? NO_IMAGES, after?.images ?? NO_IMAGES);
    if (before?.taints !== after?.taints) this.#taints.set(slot, after?.taints ?? []);
  }

  setDevice(slot: number, column: number, isThere: boolean): void {
    let term = this.#devices.get(column);
    if (term === undefined) {
      term = new Term();
      this.#devices.set(column, term);
      this.#termVersion += 1;
    }
    if (isThere) term.add(slot);
    else term.delete(slot);
  }

  /** Rises when the constraint of a shape may be another than it was. */
  get version(): number {
    return this.#termVersion + this.#taints.version;
  }

  get hasTaints(): boolean {
    return this.#taints.hasAny;
  }

  /** Whether some nodes are to be taken only when no other has room. */
  get hasAvoided(): boolean {
    return this.#taints.hasAvoided;
  }

  /** Narrows from `everywhere` to where tasks of this shape may run. */
  constraintOf(everywhere: Constraint, shape: PlaceShape, demand: Demand): Constraint {
    const terms: Term[] = [];
    this.addTerms(terms, shape.nodeSelector, demand.columns);
    return narrow(everywhere, this.toleranceOf(shape.tolerations), terms);
  }

  toleranceOf(tolerations: TaskShape['tolerations']): Tolerance {
    return this.#taints.toleranceOf(tolerations);
  }

  /** What no toleration makes of the taints. */
  get noTolerance(): Tolerance {
    return this.#taints.none;
  }

  /** What a node must have, added to a list that may hold the terms of many shapes. */
  addTerms(
    terms: Term[],
    nodeSelector: TaskShape['nodeSelector'],
    columns: readonly number[],
  ): void {
    for (const label in nodeSelector)
      terms.push(this.#labels.get(label)?.get(nodeSelector[label]!) ?? NO_NODE);
    for (const column of columns)
      if (isRare(column)) terms.push(this.#devices.get(column) ?? NO_NODE);
  }

  /** The nodes that have an image. */
  withImage(image: string): Term {
    return this.#images.get(image) ?? NO_NODE;
  }

  #setLabels(slot: number, before: Labels, after: Labels): void {
    if (before === after) return;
    for (const label in before) if (before[label] !== after[label]) this.#drop(slot, label, before);
    for (const label in after) if (before[label] !== after[label]) this.#add(slot, label, after);
  }

  #add(slot: number, label: string, labels: Labels): void {
    let byValue = this.#labels.get(label);
    if (byValue === undefined) this.#labels.set(label, (byValue = new Map()));
    if (addTo(byValue, labels[label]!, slot)) this.#termVersion += 1;
  }

  #drop(slot: number, label: string, labels: Labels): void {
    const byValue = this.#labels.get(label)!;
    dropFrom(byValue, labels[label]!, slot);
    if (byValue.size === 0) this.#labels.delete(label);
  }

  #setImages(slot: number, before: Images, after: Images): void {
    if (before === after) return;
    for (const image of before) if (!after.has(image)) dropFrom(this.#images, image, slot);
    for (const image of after) if (!before.has(image)) addTo(this.#images, image, slot);
  }
}

/** Whether it is the first that has it. */
function addTo(terms: Map<string, Term>, name: string, slot: number): boolean {
  const known = terms.get(name);
  const term = known ?? new Term();
  term.add(slot);
  if (known === undefined) terms.set(name, term);
  return known === undefined;
}

/** What no node has is forgotten: each node has a name of its own, and nodes come and go. */
function dropFrom(terms: Map<string, Term>, name: string, slot: number): void {
  const term = terms.get(name)!;
  term.delete(slot);
  if (term.size === 0) terms.delete(name);
}
