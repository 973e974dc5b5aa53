import type { AgentOrders } from '@majorana/protocol';
import type { NatsConnection, Subscription } from '@nats-io/transport-node';
import { nuid, PermissionViolationError } from '@nats-io/transport-node';
import type { Exchange } from '../ports.ts';
import type { NatsSettings } from './connection.ts';
import { connectNats, onRefusal } from './connection.ts';
import { Assembly, decode, encode } from './message.ts';
import { answerSubject, syncSubject } from './subjects.ts';
import { publishWhole, readError, readPart, SILENCE_MS_MAX } from './wire.ts';

/** An agent's exchanges over NATS, on one connection that is made when it is needed. */
export class NatsExchange implements AsyncDisposable {
  readonly #settings: NatsSettings;
  readonly #agentId: string;
  #connecting: Promise<NatsConnection> | undefined;
  /** Why the connection ended, when its server said. */
  #refusal: Error | undefined;

  constructor(settings: NatsSettings, agentId: string) {
    this.#settings = settings;
    this.#agentId = agentId;
  }

  readonly exchange: Exchange = async (sync, signal) => {
    signal.throwIfAborted();
    const [connection, bytes] = await Promise.all([this.#connection(), encode(sync)]);
    signal.throwIfAborted();
    const reply = answerSubject(this.#agentId, nuid.next());
    const answers = connection.subscribe(reply);
    const giveUp = (): void => answers.unsubscribe();
    signal.addEventListener('abort', giveUp);
    try {
      publishWhole(connection, syncSubject(this.#agentId), bytes, { reply });
      const answer = await hear(answers);
      signal.throwIfAborted();
      if (answer === undefined) throw this.#refusal ?? new Error('the connection to NATS broke');
      return (await decode(answer)) as AgentOrders;
    } catch (error) {
      throw error instanceof PermissionViolationError ? this.#refused(error) : error;
    } finally {
      signal.removeEventListener('abort', giveUp);
      if (!connection.isClosed()) answers.unsubscribe();
    }
  };

  #connection(): Promise<NatsConnection> {
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  async #connect(): Promise<NatsConnection> {
    const forget = (): void => (this.#connecting = undefined);
    try {
      const connection = await connectNats(this.#settings, `majorana agent ${this.#agentId}`);
      this.#refusal = undefined;
      void connection.closed().then(forget);
      void onRefusal(connection, (error) => {
        this.#refusal = this.#refused(error);
        void connection.close();
      });
      return connection;
    } catch (error) {
      forget();
      const what = error instanceof Error ? error.message : String(error);
      throw new Error(`no connection to NATS at ${this.#settings.url}: ${what}`, { cause: error });
    }
  }

  #refused(error: Error): Error {
    return new Error(`NATS refuses what ${this.#agentId} does: ${error.message}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const connection = await this.#connecting?.catch(() => undefined);
    await connection?.close();
  }
}

/** The whole answer; undefined when the subscription ended before. */
async function hear(answers: Subscription): Promise<Uint8Array | undefined> {
  const assembly = new Assembly();
  let isSilent = false;
  const silence = setTimeout(() => {
    isSilent = true;
    answers.unsubscribe();
  }, SILENCE_MS_MAX);
  try {
    for await (const message of answers) {
      silence.refresh();
      const error = readError(message);
      if (error !== undefined) throw error;
      const whole = message.data.length === 0 ? undefined : assembly.add(readPart(message));
      if (whole !== undefined) return whole;
    }
  } finally {
    clearTimeout(silence);
  }
  if (isSilent) throw new Error(`the control plane was silent for ${SILENCE_MS_MAX} ms`);
  return undefined;
}
