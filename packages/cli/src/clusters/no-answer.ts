import { X509Certificate } from 'node:crypto';
import type { Access } from '@majorana/cluster-agent/kubernetes/kubeconfig';
import { isUntrusted } from '@majorana/cluster-agent/kubernetes/untrusted';
import { CliError, EXIT } from '../output.ts';

type Failure = Error & { readonly status?: number; readonly code?: string };

function connectionWords(error: Failure, { server, proxyUrl }: Access): string {
  const { code, message } = error;
  if (isUntrusted(error))
    return `${server}: its certificate is not signed by an authority of the kubeconfig; give it certificate-authority-data, of this cluster`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `${server}: ${message}; give the kubeconfig a name that is in the certificate, as tls-server-name`;
  const way = proxyUrl === undefined ? '' : ` by the proxy ${new URL(proxyUrl).host}`;
  const todo = 'see that the address is right, the server runs, and this machine reaches it';
  return `${server} does not answer${way}: ${message}; ${todo}`;
}

/** A server says no more than 401; what is over can be read here. */
async function unknownUserWords({ server, secrets }: Access, nowMs: number): Promise<string> {
  const { cert, token } = await secrets();
  const head = `${server} does not know who asks (401)`;
  const validTo = cert === undefined ? undefined : new X509Certificate(cert).validToDate;
  if (validTo !== undefined && validTo.getTime() <= nowMs)
    return `${head}: the client certificate of the kubeconfig ended on ${validTo.toISOString()}; get a new one`;
  const what = token === undefined ? 'certificate' : 'token';
  return `${head}: the ${what} of the kubeconfig is over, was taken back, or is of another cluster; get a new one`;
}

/** Why a cluster could not be looked at, and what to do; anything else is a fault of ours. */
export async function noAnswer(error: Failure, access: Access, nowMs: number): Promise<Error> {
  if (error.name === 'KubeconfigError') return new CliError(error.message);
  if (error.name !== 'ApiServerError')
    return new CliError(connectionWords(error, access), EXIT.unreachable);
  const words =
    error.status === 401
      ? await unknownUserWords(access, nowMs)
      : `${access.server} refuses: ${error.message}`;
  return new CliError(words, EXIT.refused);
}
