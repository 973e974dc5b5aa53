import type { AgentSync } from '@majorana/protocol';
import { agentSyncSchema } from '@majorana/protocol';

/** What was said on the way of one agent: its own news, or an error that says what is wrong. */
export function checkSync(agentId: string, said: unknown): AgentSync {
  const read = agentSyncSchema.safeParse(said);
  if (!read.success) {
    const { path, message } = read.error.issues[0]!;
    throw new Error(`this is no sync: ${path.map(String).join('.')}: ${message}`);
  }
  if (read.data.agentId !== agentId)
    throw new Error(
      `the credentials are those of ${agentId}, and the sync is ${read.data.agentId}’s`,
    );
  return read.data;
}
