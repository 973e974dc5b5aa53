import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { ClientOptions } from '@majorana/client';
import { Client } from '@majorana/client';
import { dataFolder, readRunning } from './local/data-folder.ts';
import { CliError, EXIT, formatDuration, note } from './output.ts';

/** A server that is being started again answers within a second; a submission waits that out. */
const SHORT_PATIENCE_MS = 3000;
/** Who waits for a job of days does not want to be thrown out by an upgrade of the server. */
const LONG_PATIENCE_MS = 5 * 60_000;
const NOTE_EVERY_MS = 30_000;

const isHere = (url: string): boolean =>
  ['127.0.0.1', 'localhost', '[::1]'].includes(URL.parse(url)?.hostname ?? '');

function readToken(data: string, remote: string | undefined): string {
  const token = process.env['MAJORANA_TOKEN'];
  if (token !== undefined && token !== '') return token;
  // This machine's own token is an administrator's: it is shown to nobody else.
  if (remote !== undefined && !isHere(remote))
    throw new CliError(`MAJORANA_URL names ${remote}: set MAJORANA_TOKEN too`, EXIT.refused);
  const file = path.join(data, 'token');
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    throw new CliError(
      `there is no token: set MAJORANA_TOKEN, or be the user who can read ${file}`,
      EXIT.refused,
    );
  }
}

function openClient(data: string, options: ClientOptions): Client {
  // A variable that is empty is one that is not set, as everywhere in a shell.
  const remote = process.env['MAJORANA_URL'] === '' ? undefined : process.env['MAJORANA_URL'];
  const url = remote ?? readRunning(data)?.url;
  if (url === undefined) {
    throw new CliError(
      'majorana does not run here: start it with "majorana up --detach", or set MAJORANA_URL and MAJORANA_TOKEN',
      EXIT.unreachable,
    );
  }
  const urlNow = (): string | undefined => remote ?? readRunning(data)?.url;
  return new Client(url, readToken(data, remote), { urlNow, ...options });
}

/** The client of the server that runs here, or of `MAJORANA_URL` with `MAJORANA_TOKEN`. */
export const connect = (data = dataFolder()): Client =>
  openClient(data, { retryForMs: SHORT_PATIENCE_MS });

/** For what lasts: rides out a server that is away for minutes, and says so. */
export function connectPatiently(data = dataFolder()): Client {
  let lastNoteMs = 0;
  return openClient(data, {
    retryForMs: LONG_PATIENCE_MS,
    onRetry: (error) => {
      if (Date.now() - lastNoteMs < NOTE_EVERY_MS) return;
      lastNoteMs = Date.now();
      note(
        `${error.message}; trying again for up to ${formatDuration(LONG_PATIENCE_MS)}, the job goes on`,
      );
    },
  });
}
