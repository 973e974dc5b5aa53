import { parseArgs } from 'node:util';
import { runKubernetesAgent } from './kubernetes/run.ts';
import { KUBERNETES_OPTIONS, readSettings } from './kubernetes/settings.ts';

const { values } = parseArgs({
  options: Object.fromEntries(
    Object.entries(KUBERNETES_OPTIONS).map(([name, option]) => [
      name,
      {
        type: option.value === undefined ? ('boolean' as const) : ('string' as const),
        multiple: 'isList' in option,
      },
    ]),
  ),
});
const stop = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
await runKubernetesAgent(
  readSettings(values as Parameters<typeof readSettings>[0], process.env),
  stop.signal,
  (message, details) => {
    process.stderr.write(`${JSON.stringify({ message, ...details })}\n`);
  },
);
process.exit(0);
