import type { BodyWritten, StepWritten, WorkflowInput } from '@majorana/protocol';

/** What a step has stored, to be named where another one takes it. */
export class StepReference {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
  /** All its files. */
  get all(): string {
    return this.name;
  }
  /** One file, or those that a glob matches; of a nested workflow one of its outputs. */
  file(path: string): string {
    return `${this.name}/${path}`;
  }
}

/** Builds in TypeScript what else stands in a YAML file; the same schema checks both. */
export class WorkflowBuilder {
  readonly #name: string;
  readonly #inputs: Record<string, NonNullable<BodyWritten['inputs']>[string]> = {};
  readonly #steps: Record<string, StepWritten> = {};
  readonly #outputs: Record<string, string> = {};

  constructor(name: string) {
    this.#name = name;
  }

  /** A text that is given at each run; answers the placeholder that stands for it. */
  value(name: string, byDefault?: string): string {
    this.#inputs[name] = byDefault === undefined ? {} : { default: byDefault };
    return `{${name}}`;
  }
  /** A file that is given at each run; answers the reference to it. */
  file(name: string): string {
    this.#inputs[name] = { kind: 'file' };
    return name;
  }
  files(name: string): string {
    this.#inputs[name] = { kind: 'files' };
    return name;
  }

  step(name: string, step: StepWritten): StepReference {
    if (Object.hasOwn(this.#steps, name)) throw new Error(`there is a step ${name} already`);
    this.#steps[name] = step;
    return new StepReference(name);
  }
  output(name: string, reference: string): void {
    this.#outputs[name] = reference;
  }

  /** As a nested workflow: what a step's `workflow` takes. */
  body(): BodyWritten {
    return { inputs: this.#inputs, steps: this.#steps, outputs: this.#outputs };
  }
  build(): WorkflowInput {
    return { name: this.#name, ...this.body() };
  }
}
