import type { GivenOptions } from '@majorana/cluster-agent/kubernetes/options';
import { KUBERNETES_OPTIONS } from '@majorana/cluster-agent/kubernetes/options';
import type { Command } from 'commander';
import { addCommand, collect } from '../command.ts';
import { CliError, EXIT, note } from '../output.ts';

const logLine = (message: string, details: object): void =>
  note(JSON.stringify({ at: new Date().toISOString(), message, ...details }));

/** What a person has to mend: the command line, the kubeconfig, a token that is not taken. */
function asCliError(error: Error & { readonly status?: number }): Error {
  if (error.name === 'ControlPlaneError') {
    const todo =
      error.status === 401 ? '; "majorana clusters rotate-token NAME" makes another' : '';
    return new CliError(`${error.message}${todo}`, EXIT.refused);
  }
  const isTheirs = error.name === 'SettingsError' || error.name === 'KubeconfigError';
  return isTheirs ? new CliError(error.message) : error;
}

async function runAgent(given: Record<string, GivenOptions[keyof GivenOptions]>): Promise<void> {
  const { readSettings } = await import('@majorana/cluster-agent/kubernetes/settings');
  const { runKubernetesAgent } = await import('@majorana/cluster-agent/kubernetes/run');
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
  try {
    await runKubernetesAgent(readSettings(dashed(given), process.env), stop.signal, logLine);
  } catch (error) {
    throw asCliError(error as Error);
  }
  // Watches that are being closed may hold the process for a moment more.
  process.exit(EXIT.ok);
}

/** Commander names options in camel case. */
const dashed = (given: Record<string, GivenOptions[keyof GivenOptions]>): GivenOptions =>
  Object.fromEntries(
    Object.entries(given).map(([name, value]) => [
      name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
      value,
    ]),
  );

export function addClusterAgentCommands(program: Command): void {
  const agent = program.command('agent').description('run an agent in the foreground');
  const kubernetes = addCommand(agent, {
    usage: 'kubernetes',
    description:
      'the agent of a Kubernetes cluster: runs tasks as pods; logs are lines of JSON, TERM ends it and no task',
    examples: [
      'majorana agent kubernetes --name lab --kubeconfig lab.yaml --token-file majorana-lab.token',
      'majorana agent kubernetes --name lab --token-file /run/majorana/token    inside the cluster',
    ],
  });
  for (const [name, option] of Object.entries(KUBERNETES_OPTIONS)) {
    const flags = option.value === undefined ? `--${name}` : `--${name} <${option.value}>`;
    if ('isList' in option) kubernetes.option(flags, option.text, collect, []);
    else kubernetes.option(flags, option.text);
  }
  kubernetes.action(runAgent);
}
