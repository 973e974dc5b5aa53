import type { AgentProcess } from './agent-process.ts';
import type { FaultRates } from './faults.ts';
import type { Random } from './random.ts';
import type { ServerProcess } from './server-process.ts';
import type { World } from './world.ts';

const SECOND = 1000;
/** Longer than a lease lives without its agent. */
const VANISH_MS_MIN = 50 * SECOND;
const VANISH_MS_MAX = 200 * SECOND;
const PARTITION_MS_MAX = 150 * SECOND;
const OUTAGE_MS_MAX = 90 * SECOND;
const REBOOT_MS_MAX = 60 * SECOND;

/** Faults that come at a moment of their own and not with a call: crashes, partitions, outages. */
export class Disasters {
  readonly #world: World;
  readonly #server: ServerProcess;
  readonly #agents: readonly AgentProcess[];

  constructor(world: World, server: ServerProcess, agents: readonly AgentProcess[]) {
    this.#world = world;
    this.#server = server;
    this.#agents = agents;
  }

  start(): void {
    this.#every('serverCrashEveryMs', () => this.#server.crash('killed'));
    this.#every('agentCrashEveryMs', (random) => random.pick(this.#agents).crash('killed'));
    this.#every('agentVanishEveryMs', (random) => {
      const downMs = random.between(VANISH_MS_MIN, VANISH_MS_MAX);
      random.pick(this.#agents).crash('vanished', downMs);
    });
    this.#every('rebootEveryMs', (random) => {
      const agent = random.pick(this.#agents);
      this.#note('reboot', agent.machine.name);
      agent.crash('reboot', random.spread(SECOND, REBOOT_MS_MAX));
      agent.machine.reboot();
    });
    this.#every('machineLossEveryMs', (random) => {
      // The first has everything that any job asks for, so it stays.
      const agent = random.pick(this.#agents.slice(1));
      if (agent === undefined || agent.isLost) return;
      this.#note('machine_loss', agent.machine.name);
      agent.lose();
    });
    this.#every('guardKillEveryMs', (random) => random.pick(this.#agents).machine.killGuard());
    this.#every('partitionEveryMs', (random) => this.#partition(random));
    this.#every('storeOutageEveryMs', (random) => {
      const { outage } = this.#server;
      outage.untilMs = this.#world.time.nowMs + random.spread(100, OUTAGE_MS_MAX);
      outage.isSilent = random.chance(0.3);
      this.#note('store_outage', `until ${outage.untilMs}`);
    });
  }

  /** The world is well from now on: all is connected, everybody is at work. */
  stop(): void {
    this.#world.faults.isCalm = true;
    this.#world.oracle.onCalm();
    this.#server.outage.untilMs = 0;
    for (const agent of this.#agents) {
      agent.link.heal();
      agent.bootNow();
    }
    this.#world.trace.add('calm', 0, 'no more faults');
  }

  #partition(random: Random): void {
    const untilMs = this.#world.time.nowMs + random.spread(SECOND, PARTITION_MS_MAX);
    const directions = random.pick([['up'], ['down'], ['up', 'down']] as const);
    const affected = this.#agents.filter(() => random.chance(1 / 2));
    for (const { link } of affected) {
      for (const direction of directions) link.cut(direction, untilMs);
      this.#note('partition', `${link.name} ${directions.join('+')} until ${untilMs}`);
    }
  }

  #every(name: keyof FaultRates, strike: (random: Random) => void): void {
    const { time, faults } = this.#world;
    const meanMs = faults.rates[name];
    if (meanMs === Infinity) return;
    const random = this.#world.random.stream(`disaster/${name}`);
    const next = (): void => {
      time.schedule(random.exponential(meanMs), () => {
        if (faults.isCalm) return;
        strike(random);
        next();
      });
    };
    next();
  }

  #note(what: string, text: string): void {
    this.#world.trace.add(`fault.${what}`, 0, text);
  }
}
