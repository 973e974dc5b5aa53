import type { Command } from 'commander';
import { Argument } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand } from '../command.ts';
import type { NameSource } from '../complete.ts';
import { answer, print } from '../output.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** A key was pressed: an answer that takes longer is none. */
const NAMES_DEADLINE_MS = 300;
const JOBS_MAX = 50;

/** Each script asks the command itself: it is right for the version that is installed. */
const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `_majorana() {
  local cur=\${COMP_WORDS[COMP_CWORD]} line
  local -a words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  # Bash takes = for a word of its own: --state=fa comes as three.
  if (( COMP_CWORD >= 2 )) && [[ \${COMP_WORDS[COMP_CWORD-1]} == = ]]; then
    words=("\${COMP_WORDS[@]:1:COMP_CWORD-3}" "\${COMP_WORDS[COMP_CWORD-2]}=$cur")
  elif (( COMP_CWORD >= 2 )) && [[ $cur == = ]]; then
    words=("\${COMP_WORDS[@]:1:COMP_CWORD-2}" "\${COMP_WORDS[COMP_CWORD-1]}=")
    cur=
  fi
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then compopt -o default 2>/dev/null; else COMPREPLY+=("\${line#--*=}"); fi
  done < <("\${COMP_WORDS[0]}" complete-words -- "\${words[@]}" 2>/dev/null)
}
complete -F _majorana majorana`,
  zsh: `#compdef majorana
_majorana() {
  local line files=0
  local -a found
  while IFS= read -r line; do
    if [[ $line == :files ]]; then files=1; else found+=("$line"); fi
  done < <("$words[1]" complete-words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  compadd -- "\${found[@]}"
  (( files )) && _files
}
if [[ $funcstack[1] == _majorana ]]; then _majorana "$@"; else compdef _majorana majorana; fi`,
  fish: `function __majorana_words
  set -l words (commandline -opc) (commandline -ct)
  $words[1] complete-words -- $words[2..-1] 2>/dev/null | while read -l line
    if test "$line" = :files; __fish_complete_path (commandline -ct); else; echo $line; end
  end
end
complete -c majorana -f -a '(__majorana_words)'`,
};

/** Names from the server, or none when it does not answer in time. */
async function askServer(ask: (signal: AbortSignal) => Promise<string[]>): Promise<string[]> {
  try {
    return await ask(AbortSignal.timeout(NAMES_DEADLINE_MS));
  } catch {
    return [];
  }
}

const serverNames: NameSource = {
  jobs: () =>
    askServer(async (signal) => {
      const { connect } = await import('../connect.ts');
      const { jobs } = await connect().jobs({ limit: JOBS_MAX }, { signal });
      return jobs.map((job) => job.id);
    }),
  queues: () =>
    askServer(async (signal) => {
      const { connect } = await import('../connect.ts');
      const { queues } = await connect().queues({ signal });
      return queues.map((queue) => queue.name);
    }),
  clusters: () =>
    askServer(async (signal) => {
      const { connect } = await import('../connect.ts');
      const { clusters } = await connect().clusters({ signal });
      return clusters.map((cluster) => cluster.name);
    }),
};

export function addCompletionCommands(program: Command): void {
  addCommand(program, {
    usage: 'completion',
    description: 'print the script that completes commands, options, states, queues and job ids',
    examples: [
      'source <(majorana completion bash)                                 # in ~/.bashrc',
      'majorana completion zsh > "${fpath[1]}/_majorana"',
      'majorana completion fish > ~/.config/fish/completions/majorana.fish',
    ],
  })
    .addArgument(new Argument('<shell>', 'which').choices(SHELLS))
    .action((shell: Shell, options: JsonOption) =>
      answer(options, { shell, script: SCRIPTS[shell] }, () => SCRIPTS[shell]),
    );
  program
    .command('complete-words [words...]', { hidden: true })
    .description('what the scripts of "majorana completion" ask')
    .action(async (words: string[]) => {
      const { complete } = await import('../complete.ts');
      const found = await complete(program, words, serverNames);
      if (found.words.length > 0) print(found.words.join('\n'));
      if (found.hasFiles) print(':files');
    });
}
