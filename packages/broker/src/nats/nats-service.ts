import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { checkSync } from '../check-sync.ts';
import type { AnswerSync } from '../ports.ts';
import type { NatsSettings } from './connection.ts';
import { connectNats, onRefusal } from './connection.ts';
import { Assembly, decode, encode } from './message.ts';
import { agentOfSync, isAnswerSubject, SYNC_SUBJECTS } from './subjects.ts';
import { publishError, publishWhole, readPart, SIGN_OF_LIFE_MS } from './wire.ts';

/** Between attempts to reach a broker that is away. */
const CONNECT_AGAIN_MS = 1000;

export interface ServiceLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
}

/** What came so far of a sync in parts; an agent sends one at a time. */
interface Receiving {
  readonly reply: string;
  readonly assembly: Assembly;
}

/**
 * Answers agents over NATS from its start on, through a broker that comes and goes. Only the control
 * plane that is the one engine runs it: a standby would have to refuse what it hears.
 */
export class NatsService implements AsyncDisposable {
  readonly #settings: NatsSettings;
  readonly #answer: AnswerSync;
  readonly #log: ServiceLog;
  readonly #loop: Promise<void>;
  #connection: NatsConnection | undefined;
  #receiving = new Map<string, Receiving>();
  #isStopped = false;
  #cutPause: () => void = () => undefined;

  constructor(settings: NatsSettings, answer: AnswerSync, log: ServiceLog) {
    this.#settings = settings;
    this.#answer = answer;
    this.#log = log;
    this.#loop = this.#serve();
  }

  async #serve(): Promise<void> {
    let isAway = false;
    while (!this.#isStopped) {
      const error = await this.#serveOnce();
      if (this.#isStopped) return;
      // A broker that is away for an hour is one line, not 3,600.
      if (!isAway) this.#log.warn({ error: String(error) }, 'agents are not served over NATS');
      isAway = error !== undefined;
      await this.#pause();
    }
  }

  /** For as long as one connection lasts; answers why there was none. */
  async #serveOnce(): Promise<unknown> {
    try {
      const connection = await connectNats(this.#settings, 'majorana control plane');
      this.#connection = connection;
      this.#receiving = new Map();
      void onRefusal(connection, (error) => {
        this.#log.warn({ error: error.message }, 'NATS refuses what the control plane does');
      });
      connection.subscribe(SYNC_SUBJECTS, {
        callback: (error, message) => {
          if (error === null) this.#receive(connection, message);
        },
      });
      this.#log.info({ server: connection.getServer() }, 'agents are served over NATS');
      if (this.#isStopped) await connection.close();
      await connection.closed();
      return undefined;
    } catch (error) {
      return error;
    }
  }

  #receive(connection: NatsConnection, message: Msg): void {
    const agentId = agentOfSync(message.subject);
    const { reply } = message;
    if (!isAnswerSubject(agentId, reply)) return;
    try {
      const whole = this.#assemble(agentId, reply, message);
      if (whole === undefined) connection.publish(reply);
      else void this.#respond(connection, { agentId, reply, whole });
    } catch (error) {
      this.#receiving.delete(agentId);
      publishError(connection, reply, error);
    }
  }

  #assemble(agentId: string, reply: string, message: Msg): Uint8Array | undefined {
    const part = readPart(message);
    if (part.place === undefined) return part.data;
    let receiving = this.#receiving.get(agentId);
    if (receiving?.reply !== reply) receiving = { reply, assembly: new Assembly() };
    this.#receiving.set(agentId, receiving);
    const whole = receiving.assembly.add(part);
    if (whole !== undefined) this.#receiving.delete(agentId);
    return whole;
  }

  /** After the end of the connection an answer goes nowhere: the agent asks again. */
  async #respond(
    connection: NatsConnection,
    { agentId, reply, whole }: { agentId: string; reply: string; whole: Uint8Array },
  ): Promise<void> {
    const isOpen = (): boolean => !connection.isClosed();
    const timer = setInterval(() => isOpen() && connection.publish(reply), SIGN_OF_LIFE_MS);
    try {
      const sync = checkSync(agentId, await decode(whole));
      const answer = await encode(await this.#answer(sync));
      if (isOpen()) publishWhole(connection, reply, answer);
    } catch (error) {
      if (isOpen()) publishError(connection, reply, error);
    } finally {
      clearInterval(timer);
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, CONNECT_AGAIN_MS);
      this.#cutPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.#cutPause();
    await this.#connection?.flush().catch(() => undefined);
    await this.#connection?.close();
    await this.#loop;
  }
}
