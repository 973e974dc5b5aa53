import type { Role } from '@majorana/protocol';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand, numberIn } from '../command.ts';
import { connect } from '../connect.ts';
import { answer, note, table } from '../output.ts';

const ROLES = ['viewer', 'member', 'operator', 'admin', 'agent'] as const satisfies Role[];

interface CreateOptions extends JsonOption {
  readonly role: Role;
  readonly project?: string;
}

export function addTokenCommands(program: Command): void {
  const tokens = program
    .command('tokens')
    .description('who may use the API: list, create and revoke tokens');
  addCommand(
    tokens,
    {
      usage: 'list',
      description: 'the tokens; what "majorana tokens" does',
      examples: ['majorana tokens', 'majorana tokens --json'],
    },
    true,
  ).action(async (options: JsonOption) => {
    const page = await connect().tokens();
    const rows = page.tokens.map((token) => [
      String(token.id),
      token.user,
      token.role,
      token.project ?? 'all',
      new Date(token.createdAtMs).toISOString(),
    ]);
    answer(options, page, () => table(['TOKEN', 'USER', 'ROLE', 'PROJECT', 'CREATED'], rows));
  });
  addCommand(tokens, {
    usage: 'create <user>',
    description: 'make a token for a user; it is shown this once',
    examples: ['majorana tokens create ada --role member --project chemistry'],
  })
    .addOption(new Option('--role <role>', 'what it may do').choices(ROLES).default('member'))
    .option('--project <project>', 'only in this project; default: in all')
    .action(async (user: string, options: CreateOptions) => {
      const { role, project } = options;
      const made = await connect().createToken({
        user,
        role,
        ...(project === undefined ? {} : { project }),
      });
      if (options.json !== true)
        note(`token ${made.id} of ${user}, ${role}; it is shown only now:`);
      answer(options, made, () => made.token);
    });
  addCommand(tokens, {
    usage: 'revoke',
    description: 'a token, by the number that the list shows, is no longer taken',
    examples: ['majorana tokens revoke 3'],
  })
    .argument('<token>', 'its number', numberIn(1))
    .action(async (id: number, options: JsonOption) => {
      await connect().revokeToken(id);
      answer(options, { revoked: id }, () => `token ${id} is no longer taken`);
    });
  addCommand(program, {
    usage: 'whoami',
    description: 'whose token is used, and its role',
    examples: ['majorana whoami'],
  }).action(async (options: JsonOption) => {
    const me = await connect().whoami();
    answer(
      options,
      me,
      () =>
        `${me.user}, ${me.role} in ${me.project === null ? 'all projects' : `project ${me.project}`}`,
    );
  });
}
