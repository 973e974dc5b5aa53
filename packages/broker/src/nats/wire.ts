import type { Msg, NatsConnection, PublishOptions } from '@nats-io/transport-node';
import { headers } from '@nats-io/transport-node';
import type { Part } from './message.ts';
import { split } from './message.ts';

/** `2/5`, of a message in parts. */
const PART_HEADER = 'Majorana-Part';
/** The payload says what went wrong. */
const ERROR_HEADER = 'Majorana-Error';
/** From the broker itself: nobody listens there. */
const NO_RESPONDERS = 503;
/** While an exchange is at work, an empty message says so this often. */
export const SIGN_OF_LIFE_MS = 1000;
/** A control plane that was killed says nothing, and neither does a broken line. */
export const SILENCE_MS_MAX = 4000;

function marked(name: string, value: string): PublishOptions {
  const marks = headers();
  marks.set(name, value);
  return { headers: marks };
}

export function publishWhole(
  connection: NatsConnection,
  subject: string,
  bytes: Uint8Array,
  options: PublishOptions = {},
): void {
  for (const { data, place } of split(bytes, connection.info!.max_payload)) {
    const mark = place === undefined ? {} : marked(PART_HEADER, place);
    connection.publish(subject, data, { ...options, ...mark });
  }
}

export function publishError(connection: NatsConnection, subject: string, error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  connection.publish(subject, text, marked(ERROR_HEADER, 'yes'));
}

export function readPart({ headers: marks, data }: Msg): Part {
  const place = marks?.get(PART_HEADER) ?? '';
  return place === '' ? { data } : { data, place };
}

/** The error that a message is, if it is one. */
export function readError(message: Msg): Error | undefined {
  const { headers: marks } = message;
  if (marks?.code === NO_RESPONDERS)
    return new Error('no control plane serves agents at this broker');
  return marks?.has(ERROR_HEADER) === true ? new Error(message.string()) : undefined;
}
