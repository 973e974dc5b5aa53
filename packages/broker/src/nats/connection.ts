import { readFile } from 'node:fs/promises';
import type { Authenticator, NatsConnection } from '@nats-io/transport-node';
import { connect, credsAuthenticator, nkeyAuthenticator } from '@nats-io/transport-node';

export interface NatsSettings {
  /** One or several, by commas: the servers of one cluster. */
  readonly url: string;
  /** A user's seed (`SU…`) or what `nsc` writes (`.creds`); read anew for each connection. */
  readonly credentialsFile?: string | undefined;
  /** PEM of the authority that signed the server's certificate, where it is not a public one. */
  readonly caFile?: string | undefined;
}

/** How long a server may take for the first handshake. */
const HANDSHAKE_MS_MAX = 5000;
/** A connection that died without a word is known after two of these without an answer. */
const PING_MS = 3000;
const PINGS_UNANSWERED_MAX = 2;

const isLoopback = ({ hostname }: URL): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');

/** The servers of a NATS url; an error says what is wrong with it. */
export function readServers(text: string): readonly URL[] {
  const servers = text.split(',').map((one) => {
    const url = URL.parse(one.trim());
    if (url === null || !['nats:', 'tls:'].includes(url.protocol) || url.hostname === '')
      throw new Error(
        'a NATS url is tls://HOST:4222, or nats://127.0.0.1:4222 on this machine; several are parted by commas',
      );
    if (url.username !== '' || url.password !== '')
      throw new Error('a NATS url holds no password: credentials are in a file of their own');
    if (url.protocol === 'nats:' && !isLoopback(url))
      throw new Error(`nats://${url.host}: without TLS only on this machine, else tls://`);
    return url;
  });
  if (new Set(servers.map(({ protocol }) => protocol)).size > 1)
    throw new Error('the servers of one NATS url are all tls:// or all nats://');
  return servers;
}

async function authenticator(file: string): Promise<Authenticator> {
  const text = await readFile(file, 'utf8');
  if (text.includes('BEGIN NATS USER JWT')) return credsAuthenticator(Buffer.from(text));
  const seed = /^SU[A-Z2-7]{56}$/m.exec(text)?.[0];
  if (seed === undefined)
    throw new Error(`${file} holds neither a user’s seed (SU…) nor a JWT with its seed`);
  return nkeyAuthenticator(Buffer.from(seed));
}

/**
 * One connection for as long as it lasts. It is not mended below its users: they would not know
 * what was lost meanwhile, and all of them ask again anyway.
 */
export async function connectNats(
  { url, credentialsFile, caFile }: NatsSettings,
  name: string,
): Promise<NatsConnection> {
  const servers = readServers(url);
  return connect({
    name,
    servers: servers.map(({ host }) => host),
    reconnect: false,
    timeout: HANDSHAKE_MS_MAX,
    pingInterval: PING_MS,
    maxPingOut: PINGS_UNANSWERED_MAX,
    // Demanded, not taken when offered: the offer comes before the encryption.
    ...(servers[0]!.protocol === 'tls:' && { tls: caFile === undefined ? {} : { caFile } }),
    ...(credentialsFile !== undefined && { authenticator: await authenticator(credentialsFile) }),
  });
}

/** Calls back with what the server refused: a subject that the credentials do not allow. */
export async function onRefusal(
  connection: NatsConnection,
  callback: (error: Error) => void,
): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === 'error') callback(status.error);
  }
}
