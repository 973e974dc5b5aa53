import { LeaseRefusedError } from '@majorana/cluster-agent/engine/ports';
import type { AttemptStanding } from '@majorana/cluster-agent/engine/ports';
import type { AttemptOutcome, Resources } from '@majorana/core';
import { parseAttemptId } from '@majorana/core';
import type { EndedEvent, Lease } from '@majorana/protocol';
import { outputObject } from './fake-objects.ts';
import type { ClockError } from './life.ts';
import { EPOCH_MS } from './life.ts';
import type { ProgramPlan, ProgramShape } from './programs.ts';
import { planProgram } from './programs.ts';
import type { Random } from './random.ts';
import { runProgram } from './workflows/programs.ts';
import type { World } from './world.ts';

interface Running {
  readonly plan: ProgramPlan;
  readonly graceMs: number;
  readonly memoryBytesMax: number;
  readonly startedAtMs: number;
  cancelEnd: () => void;
  isTermed: boolean;
}

/** What the disk of a machine knows of an attempt. */
interface Kept {
  /** Absent where an outcome was kept for a lease that never came to be accepted. */
  lease: Lease | undefined;
  isStaged: boolean;
  /** The launcher's exclusive file: only the first start counts. */
  wasStarted: boolean;
  running?: Running;
  goneBecause?: string;
  /** How the program ended; `event` has it with logs and outputs stored. */
  exit?: EndedEvent;
  event?: EndedEvent;
}

const LAUNCH_MS_MEAN = 20;
/** A cgroup's limit is hit early: programs allocate first and compute then. */
const OUT_OF_MEMORY_AT = 0.3;
const TERM_MS_MEAN = 100;

/** One machine: its disk and its programs go on whatever becomes of the agent. */
export class Machine {
  readonly name: string;
  readonly capacity: Resources;
  /** As its agent says; not all do. */
  readonly corePricePerHour: number | undefined;
  readonly #world: World;
  readonly #random: Random;
  readonly #programs: Random;
  readonly #shape: ProgramShape;
  readonly #kept = new Map<string, Kept>();
  clock: ClockError;
  onChange: (attemptId: string) => void = () => undefined;

  constructor(world: World, name: string, capacity: Resources, shape: ProgramShape) {
    this.name = name;
    this.capacity = capacity;
    this.corePricePerHour = world.random.stream(`price/${name}`).pick([undefined, 0.01, 0.02]);
    this.#world = world;
    this.#random = world.random.stream(`machine/${name}`);
    this.#programs = world.random.stream('programs');
    this.#shape = shape;
    this.clock = world.faults.drawClock(this.#random);
  }

  get isEmpty(): boolean {
    return this.#kept.size === 0;
  }

  get keptIds(): readonly string[] {
    return [...this.#kept.keys()];
  }

  nowMs(): number {
    return Math.floor(EPOCH_MS + this.clock.offsetMs + this.#world.time.nowMs * this.clock.rate);
  }

  /** What has no lease is of no use to an agent that starts, and goes. */
  list(): { readonly attemptId: string; readonly lease: Lease }[] {
    const list: { readonly attemptId: string; readonly lease: Lease }[] = [];
    for (const [attemptId, { lease }] of this.#kept) {
      if (lease === undefined) this.#kept.delete(attemptId);
      else list.push({ attemptId, lease });
    }
    return list;
  }

  inspect(attemptId: string): AttemptStanding {
    const kept = this.#kept.get(attemptId);
    if (kept?.event !== undefined) return { kind: 'collected', event: kept.event };
    if (kept?.goneBecause !== undefined) return { kind: 'gone', reason: kept.goneBecause };
    if (kept === undefined || !kept.isStaged) return { kind: 'absent' };
    if (kept.exit !== undefined) return { kind: 'exited', event: kept.exit };
    if (kept.running === undefined) return { kind: 'accepted' };
    return { kind: 'running', startedAtMs: kept.running.startedAtMs };
  }

  /** Keeping the lease and laying in its inputs are two steps; a crash may come between. */
  accept(lease: Lease, isWhole: boolean): void {
    const { attemptId } = lease;
    this.#world.oracle.onAccept(this.name, lease);
    const plan = this.#planOf(lease);
    const kept = this.#kept.get(attemptId) ?? { lease, isStaged: false, wasStarted: false };
    kept.lease = lease;
    this.#kept.set(attemptId, kept);
    if (plan.isRefused) throw new LeaseRefusedError('an input is nowhere');
    if (!isWhole) throw new Error('simulated: the disk is full');
    kept.isStaged = true;
  }

  /** Hands over to the launcher, which begins a moment later, once. */
  start(attemptId: string, isHeard: boolean): void {
    if (!isHeard) return;
    this.#world.time.schedule(this.#random.exponential(LAUNCH_MS_MEAN), () => {
      const kept = this.#kept.get(attemptId);
      if (kept?.lease === undefined || !kept.isStaged || kept.wasStarted) return;
      if (kept.event !== undefined) return;
      kept.wasStarted = true;
      this.#begin(attemptId, kept, kept.lease);
    });
  }

  #begin(attemptId: string, kept: Kept, lease: Lease): void {
    const { time, oracle } = this.#world;
    const plan = this.#planOf(lease);
    const running: Running = {
      plan,
      graceMs: lease.graceMs,
      memoryBytesMax: lease.resources.memoryBytes,
      startedAtMs: this.nowMs(),
      cancelEnd: () => undefined,
      isTermed: false,
    };
    kept.running = running;
    oracle.onStart(this.name, this.capacity, lease);
    const isHungry = plan.memoryBytes > lease.resources.memoryBytes;
    const ownMs = isHungry ? plan.durationMs * OUT_OF_MEMORY_AT : plan.durationMs;
    const limitMs = lease.timeLimitMs === 0 ? Infinity : lease.timeLimitMs;
    running.cancelEnd = time.schedule(Math.min(ownMs, limitMs), () => {
      const outcome: AttemptOutcome =
        limitMs < ownMs
          ? { kind: 'time_limit', signal: 15, reason: 'ended at its time limit' }
          : isHungry
            ? { kind: 'out_of_memory', signal: 9, reason: 'out of memory' }
            : ownOutcome(plan);
      this.#exit(attemptId, kept, outcome);
    });
    this.#notify(attemptId);
  }

  /** TERM, and KILL after the grace. */
  end(attemptId: string): void {
    const kept = this.#kept.get(attemptId);
    const running = kept?.running;
    if (kept === undefined || running === undefined || running.isTermed) return;
    running.isTermed = true;
    running.cancelEnd();
    const { ignoresTerm } = running.plan;
    const { graceMs } = running;
    const quickMs = Math.min(graceMs, this.#random.exponential(TERM_MS_MEAN));
    running.cancelEnd = this.#world.time.schedule(ignoresTerm ? graceMs : quickMs, () =>
      this.#exit(attemptId, kept, {
        kind: 'cancelled',
        signal: ignoresTerm ? 9 : 15,
        reason: 'cancelled by a user',
      }),
    );
  }

  collect(attemptId: string): EndedEvent {
    const kept = this.#kept.get(attemptId);
    if (kept?.event !== undefined) return kept.event;
    if (kept?.exit === undefined) throw new Error(`${attemptId} has not ended`);
    const isGood = kept.exit.outcome.kind === 'succeeded' && (kept.lease?.outputs.length ?? 0) > 0;
    const artifacts = isGood
      ? [{ role: 'output' as const, path: 'out', ...this.#store(attemptId, kept.lease!) }]
      : [];
    kept.event = { ...kept.exit, artifacts };
    return kept.event;
  }

  #store(attemptId: string, lease: Lease): { object: string; sizeBytes: number } {
    const { workflows } = this.#world;
    if (workflows === undefined) return { object: outputObject(attemptId), sizeBytes: 1 };
    return workflows.objects.put(runProgram(workflows.objects, lease));
  }

  conclude(event: EndedEvent): void {
    const { attemptId } = event;
    const kept = this.#kept.get(attemptId) ?? {
      lease: undefined,
      isStaged: false,
      wasStarted: false,
    };
    if (kept.running !== undefined) throw new Error(`${attemptId} runs`);
    const hasRun = kept.exit !== undefined && kept.goneBecause === undefined;
    if (hasRun && event.startedAtMs === undefined) throw new Error(`${attemptId} has run`);
    kept.event ??= event;
    this.#kept.set(attemptId, kept);
  }

  forget(attemptId: string): void {
    const kept = this.#kept.get(attemptId);
    if (kept === undefined) return;
    this.#world.oracle.onForget(this.name, attemptId, kept.running !== undefined);
    this.#kept.delete(attemptId);
  }

  /** The guard of one running program is killed, and the program with it. */
  killGuard(): void {
    const running = [...this.#kept].filter(([, kept]) => kept.running !== undefined);
    if (running.length === 0) return;
    const [attemptId, kept] = this.#random.pick(running);
    this.#world.trace.add('fault.guard_kill', 0, `${this.name} ${attemptId}`);
    this.#lose(attemptId, kept, 'its guard process was killed');
  }

  /**
   * Only stored outcomes outlive it: what was being laid in, ran or had just ended is gone, as a
   * disk that was not synced has it. The clock may have been set meanwhile.
   */
  reboot(): void {
    this.clock = this.#world.faults.drawClock(this.#random);
    for (const [attemptId, kept] of this.#kept) {
      if (kept.event === undefined) this.#lose(attemptId, kept, 'the machine was rebooted');
    }
  }

  destroy(): void {
    for (const [attemptId, kept] of this.#kept) this.#lose(attemptId, kept, 'the machine is gone');
    this.#kept.clear();
  }

  #lose(attemptId: string, kept: Kept, why: string): void {
    kept.goneBecause = why;
    // Nor does a start that was on its way begin any more.
    kept.wasStarted = true;
    if (kept.running === undefined) return;
    kept.running.cancelEnd();
    delete kept.running;
    this.#world.oracle.onEnd(this.name, attemptId, undefined);
    this.#notify(attemptId);
  }

  #exit(attemptId: string, kept: Kept, outcome: AttemptOutcome): void {
    const { plan, startedAtMs, memoryBytesMax } = kept.running!;
    delete kept.running;
    const atMs = this.nowMs();
    kept.exit = {
      kind: 'ended',
      attemptId,
      atMs,
      startedAtMs,
      outcome,
      peakMemoryBytes: Math.min(plan.memoryBytes, memoryBytesMax),
      cpuTimeMs: Math.max(0, atMs - startedAtMs),
      artifacts: [],
    };
    this.#world.oracle.onEnd(this.name, attemptId, outcome);
    this.#notify(attemptId);
  }

  #notify(attemptId: string): void {
    if (!this.#world.faults.happens('hostForget', this.#random)) this.onChange(attemptId);
  }

  #planOf(lease: Lease): ProgramPlan {
    const { attemptNumber } = parseAttemptId(lease.attemptId)!;
    return planProgram(this.#programs, lease, attemptNumber, this.#shape);
  }
}

function ownOutcome({ end }: ProgramPlan): AttemptOutcome {
  if (end.kind === 'signal') {
    return { kind: 'signal', signal: end.signal, reason: `ended by signal ${end.signal}` };
  }
  const { exitCode } = end;
  const kind = exitCode === 0 ? 'succeeded' : 'exit_code';
  return { kind, exitCode, reason: `exit code ${exitCode}` };
}
