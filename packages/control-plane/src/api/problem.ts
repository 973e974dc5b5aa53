import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';

export interface Issue {
  readonly where: string;
  readonly what: string;
}

/** An error for the caller (RFC 9457): what is wrong, where, what to do. */
export class ProblemError extends Error {
  override name = 'ProblemError';
  readonly status: number;
  readonly code: string;
  readonly issues: readonly Issue[];

  constructor(status: number, code: string, detail: string, issues: readonly Issue[] = []) {
    super(detail);
    this.status = status;
    this.code = code;
    this.issues = issues;
  }
}

/** What the schemas of a route found wrong with a request. */
function invalidInput(error: Error): ProblemError | undefined {
  if (!hasZodFastifySchemaValidationErrors(error)) return undefined;
  const issues = error.validation.map((issue) => ({
    where: issue.instancePath.slice(1).replaceAll('/', '.') || '(whole)',
    what: issue.message ?? issue.keyword,
  }));
  const detail = issues.map(({ where, what }) => `${where}: ${what}`).join('; ');
  return new ProblemError(422, 'invalid_input', detail, issues);
}

const STATUS_BY_NAME: Readonly<Record<string, readonly [number, string]>> = {
  NotFoundError: [404, 'not_found'],
  ObjectMissingError: [404, 'object_missing'],
  ObjectStoreUnavailableError: [503, 'objects_unavailable'],
  UnavailableError: [503, 'unavailable'],
};

/** PostgreSQL's own codes for "I am not there": class 08 and 57P, and what the sockets say. */
const isConnectionLost = (code: string): boolean =>
  /^(08...|57P..|ECONNREFUSED|ECONNRESET|EPIPE)$/.test(code);

function toProblem(error: Error & { statusCode?: number; code?: string }): ProblemError {
  if (error instanceof ProblemError) return error;
  const known = STATUS_BY_NAME[error.name];
  if (known !== undefined) return new ProblemError(...known, error.message);
  if (
    isConnectionLost(error.code ?? '') ||
    /Connection terminated|timeout exceeded/.test(error.message)
  ) {
    return new ProblemError(503, 'unavailable', 'the database does not answer; ask again');
  }
  if (error.statusCode === 429) return new ProblemError(429, 'too_many_requests', error.message);
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return new ProblemError(error.statusCode, 'bad_request', error.message);
  }
  return new ProblemError(500, 'internal', 'an internal error; the server log has it');
}

const document = ({ status, code, issues, message }: ProblemError): object => ({
  type: `urn:majorana:${code}`,
  title: code,
  status,
  detail: message,
  issues,
});

export function sendProblem(reply: FastifyReply, error: Error): FastifyReply {
  const problem = invalidInput(error) ?? toProblem(error);
  const { status } = problem;
  if (status >= 500) reply.log.error({ error: error.stack }, error.message);
  if (status === 503) void reply.header('retry-after', '1');
  // Not through the route's serializer: it knows the answer's schema, not the problem's.
  return reply
    .code(status)
    .type('application/problem+json')
    .serializer((value: unknown) => JSON.stringify(value))
    .send(document(problem));
}

/** What Node's own parser refuses never becomes a request: the answer is written to the socket. */
export function sendRawProblem(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  const problem =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new ProblemError(431, 'headers_too_large', 'address and headers are more than 16 KiB')
      : new ProblemError(400, 'bad_request', 'this is no HTTP request');
  const body = JSON.stringify(document(problem));
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n` +
      `Content-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  );
}
