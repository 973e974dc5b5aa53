import type { AttemptHost, AttemptStanding } from '@majorana/cluster-agent/engine/ports';
import type { EndedEvent, Lease, LogRequest } from '@majorana/protocol';
import { parseAttemptId } from '@majorana/core';
import type { Machine } from './machine.ts';
import type { CallKind, Caller } from './outside-calls.ts';
import { OutsideCalls } from './outside-calls.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

const kind = (name: string, meanMs: number): CallKind => ({
  name: `host.${name}`,
  meanMs,
  failBefore: 'hostFail',
  failAfter: 'hostFail',
  slow: 'hostSlow',
  outlivesCaller: false,
});
const LIST = kind('list', 10);
const INSPECT = kind('inspect', 0.5);
const ACCEPT = kind('accept', 30);
const START = kind('start', 2);
const END = kind('end', 2);
const COLLECT = kind('collect', 30);
const CONCLUDE = kind('conclude', 5);
const FORGET = kind('forget', 5);
const READ_LOG = kind('read_log', 5);
const NOTICE_MS_MEAN = 5;

/** What one life of an agent sees of its machine: slow, sometimes failing, never forgetful. */
export class SimulatedHost implements AttemptHost {
  readonly #machine: Machine;
  readonly #world: World;
  readonly #caller: Caller;
  readonly #random: Random;
  readonly #calls: OutsideCalls;

  constructor(machine: Machine, world: World, caller: Caller) {
    this.#machine = machine;
    this.#world = world;
    this.#caller = caller;
    this.#random = world.random.stream(`host/${caller.name}`);
    this.#calls = new OutsideCalls(world, caller, this.#random.stream('calls'));
  }

  list(): Promise<{ readonly attemptId: string; readonly lease: Lease }[]> {
    return this.#calls.call(LIST, { jobId: 0, text: '' }, () => this.#machine.list());
  }

  inspect(attemptId: string): Promise<AttemptStanding> {
    return this.#call(INSPECT, attemptId, () => this.#machine.inspect(attemptId));
  }

  accept(lease: Lease): Promise<void> {
    const isWhole = !this.#world.faults.happens('hostFail', this.#random);
    return this.#call(ACCEPT, lease.attemptId, () => {
      this.#note(ACCEPT, lease.attemptId);
      this.#machine.accept(structuredClone(lease), isWhole);
    });
  }

  start(attemptId: string): Promise<void> {
    const isHeard = !this.#world.faults.happens('hostForget', this.#random);
    return this.#call(START, attemptId, () => {
      this.#note(START, attemptId);
      this.#machine.start(attemptId, isHeard);
    });
  }

  end(attemptId: string): Promise<void> {
    return this.#call(END, attemptId, () => {
      this.#note(END, attemptId);
      this.#machine.end(attemptId);
    });
  }

  collect(attemptId: string): Promise<EndedEvent> {
    return this.#call(COLLECT, attemptId, () => {
      this.#note(COLLECT, attemptId);
      return this.#machine.collect(attemptId);
    });
  }

  conclude(event: EndedEvent): Promise<void> {
    return this.#call(CONCLUDE, event.attemptId, () => {
      this.#note(CONCLUDE, event.attemptId);
      this.#machine.conclude(structuredClone(event));
    });
  }

  readLog(request: LogRequest): Promise<Uint8Array> {
    return this.#call(READ_LOG, request.attemptId, () => new Uint8Array());
  }

  forget(attemptId: string): Promise<void> {
    return this.#call(FORGET, attemptId, () => {
      this.#note(FORGET, attemptId);
      this.#machine.forget(attemptId);
    });
  }

  onChange(callback: (attemptId: string) => void): void {
    this.#machine.onChange = (attemptId) => {
      this.#caller.life.later(this.#random.exponential(NOTICE_MS_MEAN), () => callback(attemptId));
    };
  }

  #call<T>(call: CallKind, attemptId: string, act: () => T): Promise<T> {
    const jobId = parseAttemptId(attemptId)?.jobId ?? 0;
    return this.#calls.call(call, { jobId, text: attemptId }, act);
  }

  #note(call: CallKind, attemptId: string): void {
    const jobId = parseAttemptId(attemptId)?.jobId ?? 0;
    this.#world.trace.add(call.name, jobId, `${this.#caller.name} ${attemptId}`);
  }
}
