import { nkeys } from '@nats-io/transport-node';
import type { Permissions } from './subjects.ts';
import { agentPermissions, controlPlanePermissions } from './subjects.ts';

/** A user as the server's configuration writes it. It holds no secret. */
export interface NatsUser {
  readonly nkey: string;
  readonly permissions: Permissions;
}

/** A key of its own; the seed is the secret, and is kept by the user alone. */
function createUser(permissions: Permissions): { readonly seed: string; readonly user: NatsUser } {
  const pair = nkeys.createUser();
  const seed = Buffer.from(pair.getSeed()).toString();
  return { seed, user: { nkey: pair.getPublicKey(), permissions } };
}

export const createAgentUser = (agentId: string): ReturnType<typeof createUser> =>
  createUser(agentPermissions(agentId));

export const createControlPlaneUser = (): ReturnType<typeof createUser> =>
  createUser(controlPlanePermissions);
