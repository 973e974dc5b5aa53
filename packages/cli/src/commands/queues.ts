import type { QueueSettings, QueueView } from '@majorana/protocol';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand, numberIn } from '../command.ts';
import { connect } from '../connect.ts';
import { answer, CliError, table } from '../output.ts';

const held = (queue: QueueView): number =>
  queue.counts.leased + queue.counts.starting + queue.counts.running;

function queuesTable(queues: readonly QueueView[]): string {
  if (queues.length === 0) return 'no queues';
  const rows = queues.map((queue) => [
    queue.name,
    String(queue.weight),
    queue.parallelMax === undefined ? 'none' : String(queue.parallelMax),
    queue.isPaused ? 'paused' : 'open',
    String(queue.openJobs),
    String(queue.counts.queued + queue.counts.pending),
    String(held(queue)),
  ]);
  return table(['QUEUE', 'WEIGHT', 'LIMIT', 'STATE', 'OPEN JOBS', 'WAITING', 'RUNNING'], rows);
}

interface SetOptions extends JsonOption {
  readonly weight?: number;
  readonly limit?: number | 'none';
  readonly pause?: boolean;
  readonly resume?: boolean;
}

function readLimit(text: string): number | 'none' {
  if (text === 'none') return text;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A whole number from 0 or "none" is expected.');
}

/** The API takes all settings of a queue at once: what is not said stays as it is. */
function mergeSettings(before: Partial<QueueSettings>, options: SetOptions): QueueSettings {
  const { weight = before.weight ?? 1, limit = before.parallelMax ?? 'none' } = options;
  const isPaused = options.pause === true || (options.resume !== true && before.isPaused === true);
  return { weight, isPaused, ...(limit === 'none' ? {} : { parallelMax: limit }) };
}

async function setQueue(name: string, options: SetOptions): Promise<void> {
  const { weight, limit, pause, resume } = options;
  if (pause === true && resume === true)
    throw new CliError('--pause and --resume exclude each other');
  if ([weight, limit, pause, resume].every((one) => one === undefined))
    throw new CliError('nothing to set: --weight, --limit, --pause or --resume is expected');
  const client = connect();
  const before = (await client.queues()).queues.find((queue) => queue.name === name);
  const queue = await client.setQueue(name, mergeSettings(before ?? {}, options));
  answer(options, queue, () => queuesTable([queue]));
}

export function addQueueCommands(program: Command): void {
  const queues = program
    .command('queues')
    .description('the queues: shares, limits, what waits and runs; set one of them');
  addCommand(
    queues,
    {
      usage: 'list',
      description: 'the queues; what "majorana queues" does',
      examples: ['majorana queues', 'majorana queues --json'],
    },
    true,
  ).action(async (options: JsonOption) => {
    const page = await connect().queues();
    answer(options, page, () => queuesTable(page.queues));
  });
  addCommand(queues, {
    usage: 'set <queue>',
    description: 'set a queue’s share and limit, pause or resume it; makes it when there is none',
    examples: [
      'majorana queues set night --weight 0.5 --limit 64',
      'majorana queues set night --pause',
    ],
  })
    .option('--weight <number>', 'share against other queues', numberIn(0.001, 1_000_000, false))
    .option('--limit <number|none>', 'at most so many tasks at once', readLimit)
    .option('--pause', 'start nothing more; what runs goes on')
    .option('--resume', 'start tasks again')
    .action(setQueue);
}
