import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from '@majorana/client';
import { dataFolder, readRunning } from './local/data-folder.ts';
import { CliError, EXIT } from './output.ts';

/** The client of the server that runs here, or of `MAJORANA_URL` with `MAJORANA_TOKEN`. */
export function connect(data = dataFolder()): Client {
  const url = process.env['MAJORANA_URL'] ?? readRunning(data)?.url;
  if (url === undefined) {
    throw new CliError(
      'majorana does not run here: start it with "majorana up --detach"',
      EXIT.unreachable,
    );
  }
  const token =
    process.env['MAJORANA_TOKEN'] ?? readFileSync(path.join(data, 'token'), 'utf8').trim();
  return new Client(url, token);
}
