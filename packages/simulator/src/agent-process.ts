import { Agent } from '@majorana/cluster-agent/engine/agent';
import type { Exchange } from '@majorana/cluster-agent/engine/ports';
import type { AgentOrders } from '@majorana/protocol';
import { Life } from './life.ts';
import type { Machine } from './machine.ts';
import { Link } from './network.ts';
import type { Network } from './network.ts';
import type { Caller } from './outside-calls.ts';
import type { Random } from './random.ts';
import { SimulatedHost } from './simulated-host.ts';
import type { World } from './world.ts';

const RESTART_MS_MEAN = 2000;

/** One cluster agent: the production agent over a machine that outlives it. */
export class AgentProcess {
  readonly machine: Machine;
  readonly link: Link;
  readonly #world: World;
  readonly #network: Network;
  readonly #random: Random;
  #life: Life | undefined;
  #bootCount = 0;
  #isLost = false;
  #cancelBoot: () => void = () => undefined;

  constructor(world: World, machine: Machine, network: Network) {
    this.#world = world;
    this.machine = machine;
    this.#network = network;
    this.#random = world.random.stream(`agent/${machine.name}`);
    this.link = new Link(machine.name, world.random.stream(`link/${machine.name}`));
  }

  boot(): void {
    if (this.#life?.isAlive === true) return;
    const { time, trace } = this.#world;
    this.#bootCount += 1;
    const name = `${this.machine.name}#${this.#bootCount}`;
    const life = new Life(time, this.machine.clock);
    this.#life = life;
    trace.add('boot', 0, name);
    const crash = (why: string): void => this.crash(why);
    const caller: Caller = { name, life, crash };
    const { corePricePerHour } = this.machine;
    const agent = new Agent({
      agentId: this.machine.name,
      capacity: this.machine.capacity,
      ...(corePricePerHour !== undefined && { corePricePerHour }),
      host: new SimulatedHost(this.machine, this.#world, caller),
      exchange: this.#exchange(life),
      clock: { nowMs: () => life.nowMs(), after: (delayMs, act) => life.after(delayMs, act) },
      log: (message, details) => trace.add('agent_log', 0, `${name} ${message} ${say(details)}`),
    });
    agent.start().catch((error: Error) => {
      if (life.isAlive) this.crash(`could not start: ${error.message}`);
    });
  }

  /** Down for about this long; without it, as a supervisor would have it. */
  crash(why: string, downMs = this.#random.exponential(RESTART_MS_MEAN)): void {
    if (this.#life?.isAlive !== true) return;
    this.#world.trace.add('fault.agent_crash', 0, `${this.machine.name} ${why}`);
    this.machine.onChange = () => undefined;
    this.#life.end();
    this.#cancelBoot = this.#world.time.schedule(downMs, () => this.boot());
  }

  /** For good: nobody will come back under its name. */
  lose(): void {
    this.crash('its machine is gone');
    this.#isLost = true;
    this.#cancelBoot();
    this.machine.destroy();
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  /** Ends a long absence at once, when the faults are over. */
  bootNow(): void {
    if (this.#isLost || this.#life?.isAlive === true) return;
    this.#cancelBoot();
    this.boot();
  }

  #exchange(life: Life): Exchange {
    return (sync, signal) =>
      new Promise<AgentOrders>((resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('given up')), { once: true });
        const sent = structuredClone(sync);
        const held = sync.held?.digest ?? `${sync.heldAttemptIds?.length} named`;
        const text = `sync of ${held} held, ${sync.events.length} events`;
        this.#network.request(this.link, {
          jobId: 0,
          text,
          // The schema's check makes a copy of each that arrives.
          serve: (server) => server.sync(sent),
          onAnswer: (answer) => {
            if (!life.isAlive) return;
            if (!answer.ok) reject(answer.error);
            else resolve(structuredClone(answer.value));
          },
        });
      });
  }
}

const say = (details: object): string =>
  Object.entries(details)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(' ');
