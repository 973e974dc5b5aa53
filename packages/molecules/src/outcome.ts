import type { CleanMolecule, CleanOutcome } from './clean-record.ts';
import type { Reason, ReasonCode } from './reasons.ts';
import { kindOf } from './reasons.ts';
import type { SourceRecord } from './source-record.ts';

export const STATUSES = ['kept', 'changed', 'duplicate', 'rejected', 'broken'] as const;
export type Status = (typeof STATUSES)[number];

/** What became of one record. */
export interface Outcome {
  readonly record: SourceRecord;
  readonly status: Status;
  readonly reasons: readonly Reason[];
  /** Of a record that is in the cleaned dataset. */
  readonly id: string | undefined;
  readonly clean: CleanMolecule | undefined;
  readonly duplicateOf: string | undefined;
  readonly faultLine: number | undefined;
  isAction(code: ReasonCode): boolean;
}

const isAction = (code: ReasonCode): boolean => kindOf(code) === 'action';

interface Known {
  readonly id: string;
  readonly where: string;
}

/** Finds what was there before, over all files: the first of equal molecules is kept. */
export class Judge {
  readonly #known = new Map<string, Known>();
  readonly #skeletons = new Map<string, Known>();

  judge(record: SourceRecord, outcome: CleanOutcome): Outcome {
    const base = {
      record,
      isAction,
      id: undefined,
      clean: undefined,
      duplicateOf: undefined,
      faultLine: undefined,
    };
    if (outcome.kind === 'fault') {
      const { code, message, line } = outcome.fault;
      const status = kindOf(code) === 'rejected' ? 'rejected' : 'broken';
      return {
        ...base,
        status,
        faultLine: line,
        reasons: [...outcome.reasons, { code, words: message }],
      };
    }
    const { clean, reasons } = outcome;
    const same = this.#known.get(clean.key);
    if (same !== undefined) {
      const words = `of ${same.id} (${same.where})`;
      return {
        ...base,
        status: 'duplicate',
        duplicateOf: same.id,
        reasons: [...reasons, { code: 'duplicate', words }],
      };
    }
    const own = { id: `m${this.#known.size + 1}`, where: `${record.file}:${record.line}` };
    this.#known.set(clean.key, own);
    const sibling = this.#skeletons.get(clean.skeleton);
    if (sibling === undefined) this.#skeletons.set(clean.skeleton, own);
    const all: Reason[] =
      sibling === undefined
        ? [...reasons]
        : [...reasons, { code: 'other-stereo', words: `than ${sibling.id} (${sibling.where})` }];
    const status = all.some(({ code }) => isAction(code)) ? 'changed' : 'kept';
    return { ...base, status, id: own.id, clean, reasons: all };
  }
}
