import fc from 'fast-check';
import { expect, test } from 'vitest';
import { agentOfSync, answerSubject, isAnswerSubject, syncSubject } from './subjects.ts';

const agentIds = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/);

test('a subject names one agent, and has as many tokens as any other', () => {
  fc.assert(
    fc.property(agentIds, (agentId) => {
      const subject = syncSubject(agentId);
      expect(agentOfSync(subject)).toBe(agentId);
      expect(subject.split('.')).toHaveLength(3);
      expect(answerSubject(agentId, 'x').split('.')).toHaveLength(4);
    }),
  );
});

test('an agent is answered where only itself can hear', () => {
  expect(isAnswerSubject('a', answerSubject('a', 'X1'))).toBe(true);
  for (const reply of [
    answerSubject('a.b', 'X1'),
    answerSubject('b', 'X1'),
    answerSubject('a', 'X.1'),
    answerSubject('a', '>'),
    answerSubject('a', ''),
    syncSubject('a'),
    undefined,
  ])
    expect(isAnswerSubject('a', reply)).toBe(false);
});
