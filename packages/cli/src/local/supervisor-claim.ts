import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import type { Server } from 'node:net';
import { createServer } from 'node:net';

export class AlreadyRunningError extends Error {
  override name = 'AlreadyRunningError';
}

/**
 * One supervisor for a data folder. A name among Linux's abstract sockets is the lock: of two that
 * ask together one gets it, and the kernel gives it back however its holder ends, kill -9 included.
 */
export async function claimFolder(data: string): Promise<Server> {
  const name = createHash('sha256').update(realpathSync(data)).digest('hex').slice(0, 40);
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const isTaken = error.code === 'EADDRINUSE';
      reject(
        isTaken
          ? new AlreadyRunningError(
              `majorana is being started or stopped in ${data} by another process; wait for it, or name another folder in MAJORANA_DATA`,
            )
          : error,
      );
    });
    server.listen(`\0majorana-${name}`, resolve);
  });
  // The lock alone does not keep the process going.
  return server.unref();
}
