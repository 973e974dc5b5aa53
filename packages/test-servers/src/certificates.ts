import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Certificate {
  readonly certificatePath: string;
  readonly keyPath: string;
}

interface Request {
  readonly name: string;
  /** As openssl writes it: /O=group/CN=name. */
  readonly subject: string;
  /** Addresses and names that a server answers at: IP:127.0.0.1, DNS:localhost. */
  readonly alternativeNames?: readonly string[];
}

async function issue(folder: string, request: Request, extra: readonly string[]) {
  const certificatePath = path.join(folder, `${request.name}.crt`);
  const keyPath = path.join(folder, `${request.name}.key`);
  const names = request.alternativeNames ?? [];
  const args = ['req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  args.push('-days', '2', '-subj', request.subject, '-keyout', keyPath, '-out', certificatePath);
  if (names.length > 0) args.push('-addext', `subjectAltName=${names.join(',')}`);
  await run('openssl', [...args, ...extra]).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT'
      ? new Error('openssl is needed for the certificates of the test servers and is not there')
      : error;
  });
  return { certificatePath, keyPath };
}

/** An authority of one test, and what it signs; Node can read certificates but not make them. */
export class CertificateAuthority implements Certificate {
  readonly certificatePath: string;
  readonly keyPath: string;
  readonly #folder: string;

  private constructor(folder: string, own: Certificate) {
    this.#folder = folder;
    this.certificatePath = own.certificatePath;
    this.keyPath = own.keyPath;
  }

  static async create(folder: string): Promise<CertificateAuthority> {
    const own = await issue(folder, { name: 'ca', subject: '/CN=majorana-test-ca' }, []);
    return new CertificateAuthority(folder, own);
  }

  issue(request: Request): Promise<Certificate> {
    const signer = ['-CA', this.certificatePath, '-CAkey', this.keyPath];
    const extra = [...signer, '-addext', 'basicConstraints=critical,CA:FALSE'];
    return issue(this.#folder, request, extra);
  }
}
