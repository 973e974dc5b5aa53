import type { Exchange } from '@majorana/broker';
import type { NatsSettings } from '@majorana/broker/nats';
import { NatsExchange, readServers } from '@majorana/broker/nats';

/** How an agent reaches a broker. The secret is in a file: arguments are seen by everybody. */
export const BROKER_OPTIONS = {
  'nats-url': { type: 'string' },
  'nats-credentials': { type: 'string' },
  'nats-ca': { type: 'string' },
} as const;

interface BrokerValues {
  readonly 'nats-url'?: string | undefined;
  readonly 'nats-credentials'?: string | undefined;
  readonly 'nats-ca'?: string | undefined;
}

/** Undefined: the agent speaks to the control plane itself, over HTTP. */
export function readBroker(values: BrokerValues): NatsSettings | undefined {
  const { 'nats-url': url, 'nats-credentials': credentialsFile, 'nats-ca': caFile } = values;
  if (url === undefined) {
    if (credentialsFile !== undefined || caFile !== undefined)
      throw new Error('--nats-credentials and --nats-ca need --nats-url');
    return undefined;
  }
  readServers(url);
  return { url, credentialsFile, caFile };
}

export function exchangeBy(
  broker: NatsSettings | undefined,
  agentId: string,
  overHttp: () => Exchange,
): Exchange {
  return broker === undefined ? overHttp() : new NatsExchange(broker, agentId).exchange;
}
