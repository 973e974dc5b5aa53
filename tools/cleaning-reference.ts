import type { ReasonKind } from '@majorana/molecules/reasons';
import { REASONS } from '@majorana/molecules/reasons';

const SECTIONS: readonly (readonly [ReasonKind, string, string])[] = [
  ['action', 'Actions', 'They change the molecule; the record’s outcome is `changed`.'],
  ['note', 'Notes', 'They leave it as it is, and say what to look at.'],
  ['duplicate', 'Duplicates', 'The record is not in the dataset, for an earlier one is.'],
  ['rejected', 'Rejections', 'The record could be read, and is not in the dataset.'],
  ['broken', 'Broken records', 'The record could not be read; its line is told where it is known.'],
];

/** Every reason that `majorana data clean` gives, and what it means. */
export function cleaningReference(): string {
  const sections = SECTIONS.flatMap(([kind, title, text]) => {
    const rows = Object.entries(REASONS)
      .filter(([, [own]]) => own === kind)
      .map(([code, [, words]]) => `- \`${code}\`: ${words}`);
    return [`## ${title}`, '', text, '', ...rows, ''];
  });
  return ['# Reasons of majorana data clean', '', ...sections].join('\n');
}
