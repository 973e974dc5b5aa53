import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { apiFetch, ControlPlaneError, httpExchange, tokenIn } from '@majorana/broker';
import { exchangeBy } from '../broker-options.ts';
import { systemClock } from '../system-clock.ts';
import { ApiServer } from './api-server.ts';
import { readKubeconfig, readServiceAccount } from './kubeconfig.ts';
import { KubernetesAgent } from './kubernetes-agent.ts';
import type { KubernetesSettings } from './settings.ts';
import { SettingsError } from './settings.ts';

export type Log = (message: string, details: object) => void;

/** Nothing but a person can help against these: a token that is not taken, a removed cluster. */
const isRefusal = (error: unknown): error is ControlPlaneError =>
  error instanceof ControlPlaneError && (error.status === 401 || error.status === 403);

/** Later it may be away for a moment, while it is renewed; at the start it is a mistake. */
async function requireToken(file: string): Promise<void> {
  const token = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new SettingsError(`--token-file ${file}: cannot be read (${error.code})`);
  });
  if (token.trim() === '') throw new SettingsError(`--token-file ${file}: it is empty`);
}

/**
 * Runs a cluster's agent until the signal. One that was fenced by another of its name is thrown
 * away with all it knew, and a new one stands by.
 */
export async function runKubernetesAgent(
  settings: KubernetesSettings,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  const { url, tokenFile, token, kubeconfig, context, corePricePerHour, pods } = settings;
  const { broker, limits, nodePatienceMs } = settings;
  const access = await (kubeconfig === undefined
    ? readServiceAccount()
    : readKubeconfig(kubeconfig, context));
  if (tokenFile !== undefined) await requireToken(tokenFile);
  const controlPlane = apiFetch(
    url,
    tokenFile === undefined ? async () => token! : tokenIn(tokenFile),
  );
  const exchange = exchangeBy(broker, pods.agentId, () => httpExchange(controlPlane));
  const refused = Promise.withResolvers<never>();
  refused.promise.catch(() => undefined);
  using api = new ApiServer(access);
  const stopped = signal.aborted ? Promise.resolve() : once(signal, 'abort');
  while (!signal.aborted) {
    const fenced = Promise.withResolvers<void>();
    const agent = new KubernetesAgent({
      api,
      pods,
      sessionId: randomUUID(),
      onFenced: fenced.resolve,
      objects: {
        read: async (object) =>
          Readable.fromWeb((await controlPlane(`objects/${object}`, {})).body!),
      },
      limits,
      nodePatienceMs,
      exchange: (sync, cut) =>
        exchange(sync, cut).catch((error: unknown) => {
          if (isRefusal(error)) refused.reject(error);
          throw error;
        }),
      clock: systemClock,
      ...(corePricePerHour !== undefined && { corePricePerHour }),
      log,
    });
    const started = agent.start().then((isStarted) => {
      if (isStarted) log('the agent is ready', { name: pods.agentId });
    });
    try {
      await Promise.race([
        stopped,
        fenced.promise,
        refused.promise,
        started.then(() => new Promise<never>(() => undefined)),
      ]);
    } finally {
      await agent.stop();
    }
  }
}
