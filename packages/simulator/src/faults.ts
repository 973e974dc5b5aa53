import type { ClockError } from './life.ts';
import type { Random } from './random.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** How often things go wrong. Probabilities are per call or message, `…EveryMs` are mean gaps. */
export interface FaultRates {
  readonly storeFailBefore: number;
  readonly storeFailAfter: number;
  readonly storeSlow: number;
  readonly storeOutageEveryMs: number;
  readonly hostFail: number;
  readonly hostSlow: number;
  /** A start handed over that the launcher never sees, a notice of an end that is not given. */
  readonly hostForget: number;
  readonly messageLoss: number;
  readonly messageDouble: number;
  readonly messageLate: number;
  readonly partitionEveryMs: number;
  /** The caller's process dies somewhere within a call it makes. */
  readonly crashInCall: number;
  readonly serverCrashEveryMs: number;
  readonly agentCrashEveryMs: number;
  /** Down or cut off for longer than a lease lives. */
  readonly agentVanishEveryMs: number;
  readonly rebootEveryMs: number;
  /** A machine is gone for good, with its disk and all that ran on it. */
  readonly machineLossEveryMs: number;
  readonly guardKillEveryMs: number;
  readonly clockOffsetMsMax: number;
  readonly clockDriftMax: number;
}

export const NO_FAULTS: FaultRates = {
  storeFailBefore: 0,
  storeFailAfter: 0,
  storeSlow: 0,
  storeOutageEveryMs: Infinity,
  hostFail: 0,
  hostSlow: 0,
  hostForget: 0,
  messageLoss: 0,
  messageDouble: 0,
  messageLate: 0,
  partitionEveryMs: Infinity,
  crashInCall: 0,
  serverCrashEveryMs: Infinity,
  agentCrashEveryMs: Infinity,
  agentVanishEveryMs: Infinity,
  rebootEveryMs: Infinity,
  machineLossEveryMs: Infinity,
  guardKillEveryMs: Infinity,
  clockOffsetMsMax: 0,
  clockDriftMax: 0,
};

/**
 * The faults of one seed. Each kind is left out of about a third of all seeds: what only shows when
 * one kind of fault is rare or absent is never found when every run has all of them.
 */
export function drawFaults(random: Random): FaultRates {
  const rate = (name: keyof FaultRates, min: number, max: number): number => {
    const own = random.stream(name);
    return own.chance(0.65) ? own.spread(min, max) : NO_FAULTS[name];
  };
  return {
    storeFailBefore: rate('storeFailBefore', 0.0005, 0.03),
    storeFailAfter: rate('storeFailAfter', 0.0005, 0.03),
    storeSlow: rate('storeSlow', 0.001, 0.1),
    storeOutageEveryMs: rate('storeOutageEveryMs', 1 * MINUTE, 5 * MINUTE),
    hostFail: rate('hostFail', 0.001, 0.1),
    hostSlow: rate('hostSlow', 0.001, 0.1),
    hostForget: rate('hostForget', 0.001, 0.2),
    messageLoss: rate('messageLoss', 0.001, 0.2),
    messageDouble: rate('messageDouble', 0.001, 0.2),
    messageLate: rate('messageLate', 0.001, 0.1),
    partitionEveryMs: rate('partitionEveryMs', 30 * SECOND, 5 * MINUTE),
    crashInCall: rate('crashInCall', 0.0001, 0.01),
    serverCrashEveryMs: rate('serverCrashEveryMs', 10 * SECOND, 5 * MINUTE),
    agentCrashEveryMs: rate('agentCrashEveryMs', 10 * SECOND, 5 * MINUTE),
    agentVanishEveryMs: rate('agentVanishEveryMs', 20 * SECOND, 10 * MINUTE),
    rebootEveryMs: rate('rebootEveryMs', 1 * MINUTE, 10 * MINUTE),
    machineLossEveryMs: rate('machineLossEveryMs', 3 * MINUTE, 20 * MINUTE),
    guardKillEveryMs: rate('guardKillEveryMs', 30 * SECOND, 10 * MINUTE),
    clockOffsetMsMax: rate('clockOffsetMsMax', 100, 90 * SECOND),
    clockDriftMax: rate('clockDriftMax', 1e-5, 1e-2),
  };
}

/** Decides whether a fault happens now; none does once the world is calm. */
export class Faults {
  readonly rates: FaultRates;
  isCalm = false;

  constructor(rates: FaultRates) {
    this.rates = rates;
  }

  happens(name: keyof FaultRates, random: Random): boolean {
    return !this.isCalm && random.chance(this.rates[name]);
  }

  drawClock(random: Random): ClockError {
    const { clockOffsetMsMax, clockDriftMax } = this.rates;
    return {
      offsetMs: random.between(-clockOffsetMsMax, clockOffsetMsMax),
      rate: 1 + random.between(-clockDriftMax, clockDriftMax),
    };
  }
}
