import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand } from '../command.ts';
import { CliError, note, printJson } from '../output.ts';

interface KeyOptions extends JsonOption {
  readonly agent?: string;
  readonly controlPlane?: true;
}

export function addNatsCommands(program: Command): void {
  addCommand(program, {
    usage: 'nats-key <file>',
    description:
      'make a key for NATS: the secret goes into a new file, and its user as nats-server is configured with is shown',
    examples: [
      'majorana nats-key control-plane.nk --control-plane',
      'majorana nats-key berlin.nk --agent berlin',
    ],
  })
    .option('--agent <name>', 'for the agent of this name, which can speak as no other')
    .option('--control-plane', 'for all control planes of one database')
    .action(async (file: string, { agent, controlPlane }: KeyOptions) => {
      if ((agent === undefined) === (controlPlane === undefined))
        throw new CliError('either --agent NAME or --control-plane is needed');
      const { createAgentUser, createControlPlaneUser } = await import('@majorana/broker/nats');
      const { agentIdSchema } = await import('@majorana/protocol');
      if (agent !== undefined && !agentIdSchema.safeParse(agent).success)
        throw new CliError(`--agent ${agent}: letters, digits and . _ - are a name, up to 127`);
      const { seed, user } =
        agent === undefined ? createControlPlaneUser() : createAgentUser(agent);
      await writeFile(file, `${seed}\n`, { mode: 0o600, flag: 'wx' }).catch((error: Error) => {
        throw new CliError(`${file} cannot be made: ${error.message}`);
      });
      note(`the secret is in ${file}; this user goes into the configuration of nats-server:`);
      printJson(user);
    });
}
