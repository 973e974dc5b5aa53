const SYNC = 'majorana.sync';
const ANSWER = 'majorana.answer';

/** Agents' ids may hold dots, which part subjects, and never a tilde. */
const tokenOf = (agentId: string): string => agentId.replaceAll('.', '~');

/** Where an agent speaks; nobody else may. */
export const syncSubject = (agentId: string): string => `${SYNC}.${tokenOf(agentId)}`;
/** Of all agents. */
export const SYNC_SUBJECTS = `${SYNC}.*`;

/** Where an agent hears its answers; nobody else may. */
export const answerSubject = (agentId: string, exchangeId: string): string =>
  `${ANSWER}.${tokenOf(agentId)}.${exchangeId}`;

/** Whose sync it is, by the subject that its credentials allowed. */
export const agentOfSync = (subject: string): string =>
  subject.slice(SYNC.length + 1).replaceAll('~', '.');

/**
 * The broker checks where a sync is sent, not where it asks to be answered: an agent could have its
 * orders told to another.
 */
export function isAnswerSubject(agentId: string, reply: string | undefined): reply is string {
  const prefix = answerSubject(agentId, '');
  return (
    reply?.startsWith(prefix) === true && /^[A-Za-z0-9]{1,64}$/.test(reply.slice(prefix.length))
  );
}

export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export const agentPermissions = (agentId: string): Permissions => ({
  publish: [syncSubject(agentId)],
  subscribe: [answerSubject(agentId, '*')],
});

export const controlPlanePermissions: Permissions = {
  publish: [`${ANSWER}.*.*`],
  subscribe: [SYNC_SUBJECTS],
};
