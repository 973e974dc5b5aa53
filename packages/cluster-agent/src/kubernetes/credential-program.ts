import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';
import { KubeconfigError } from './kubeconfig-error.ts';

const run = promisify(execFile);

/** How an agent shows who it is. */
export interface Credentials {
  readonly token?: string;
  readonly cert?: string;
  readonly key?: string;
}

export const execSchema = z.object({
  apiVersion: z.string(),
  command: z.string(),
  args: z.array(z.string()).nullish(),
  env: z.array(z.object({ name: z.string(), value: z.string() })).nullish(),
  installHint: z.string().nullish(),
});
type Exec = z.output<typeof execSchema>;

const credentialSchema = z.object({
  status: z.object({
    token: z.string().optional(),
    clientCertificateData: z.string().optional(),
    clientKeyData: z.string().optional(),
    expirationTimestamp: z.string().optional(),
  }),
});
const EXEC_PATIENCE_MS = 60_000;
/** Asked for again before it is over. */
const EXPIRY_MARGIN_MS = 60_000;
/** A cluster that refuses whatever it gives does not have it run for each request. */
const REFUSED_TTL_MS = 10_000;

/** Its own words may hold a token: they are not repeated. */
async function output(
  { command, args, installHint }: Exec,
  options: { readonly timeout: number; readonly env: NodeJS.ProcessEnv },
): Promise<string> {
  try {
    return (await run(command, args ?? [], options)).stdout;
  } catch (error) {
    const { code, signal } = error as { code?: string | number; signal?: string };
    if (code === 'ENOENT')
      throw new KubeconfigError(
        `${command}: this credential program of the kubeconfig is not there; install it, or put it in PATH${installHint ? `: ${installHint.trim()}` : ''}`,
      );
    throw new KubeconfigError(
      `${command}: it gave no credentials (${code ?? signal}); run it by hand to see why`,
    );
  }
}

function readCredential(text: string, command: string): z.output<typeof credentialSchema> {
  try {
    return credentialSchema.parse(JSON.parse(text));
  } catch {
    throw new KubeconfigError(`${command}: it printed no ExecCredential with a status`);
  }
}

/**
 * A cloud's own program, by the protocol of client-go's credential plugins. What it gave is kept until
 * its time is nearly over, or it is refused: then it has been taken back before.
 */
export class CredentialProgram {
  #kept:
    | {
        readonly of: string;
        readonly credentials: Credentials;
        readonly atMs: number;
        readonly untilMs: number;
      }
    | undefined;

  async ask(exec: Exec, isRefused: boolean): Promise<Credentials> {
    const kept = this.#kept;
    const of = JSON.stringify(exec);
    const isOfUse = kept?.of === of && Date.now() < kept.untilMs;
    if (isOfUse && (!isRefused || Date.now() < kept.atMs + REFUSED_TTL_MS)) return kept.credentials;
    const { status } = await answerOf(exec);
    const { token, clientCertificateData: cert, clientKeyData: key, expirationTimestamp } = status;
    const credentials = { ...(token && { token }), ...(cert && { cert }), ...(key && { key }) };
    const untilMs = expirationTimestamp
      ? Date.parse(expirationTimestamp) - EXPIRY_MARGIN_MS
      : Infinity;
    this.#kept = { of, credentials, atMs: Date.now(), untilMs };
    return credentials;
  }
}

async function answerOf(exec: Exec): Promise<z.output<typeof credentialSchema>> {
  const { apiVersion, command, env } = exec;
  const info = { apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
  const stdout = await output(exec, {
    timeout: EXEC_PATIENCE_MS,
    env: {
      ...process.env,
      ...Object.fromEntries((env ?? []).map(({ name, value }) => [name, value])),
      KUBERNETES_EXEC_INFO: JSON.stringify(info),
    },
  });
  return readCredential(stdout, command);
}
