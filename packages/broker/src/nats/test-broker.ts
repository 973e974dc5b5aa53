import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { NatsOptions, TestNats } from '@majorana/test-servers';
import { startNats } from '@majorana/test-servers';
import type { NatsSettings } from './connection.ts';
import type { NatsUser } from './user.ts';
import { createAgentUser, createControlPlaneUser } from './user.ts';

/** A broker with TLS that knows one control plane and some agents, each by a key of its own. */
export class TestBroker implements AsyncDisposable {
  readonly nats: TestNats;
  readonly #folder: string;

  private constructor(nats: TestNats, folder: string) {
    this.nats = nats;
    this.#folder = folder;
  }

  static async start(
    agentIds: readonly string[],
    options: Partial<NatsOptions> = {},
  ): Promise<TestBroker> {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-broker-'));
    const keep = async (name: string, made: { seed: string; user: NatsUser }) => {
      await writeFile(path.join(folder, `${name}.nk`), `${made.seed}\n`, { mode: 0o600 });
      return made.user;
    };
    const users = [await keep('control plane', createControlPlaneUser())];
    for (const agentId of agentIds) users.push(await keep(agentId, createAgentUser(agentId)));
    await keep('stranger', createAgentUser('stranger'));
    const accounts = { MAJORANA: { users, ...(options.jetStream && { jetstream: 'enabled' }) } };
    return new TestBroker(await startNats({ tls: true, accounts, ...options }), folder);
  }

  /** By the name of an agent, `control plane`, or `stranger`, whom the broker does not know. */
  settings(name: string): NatsSettings {
    const credentialsFile = path.join(this.#folder, `${name}.nk`);
    return { url: this.nats.url, caFile: this.nats.caPath, credentialsFile };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.nats[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true });
  }
}
