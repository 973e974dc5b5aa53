import { Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import { apiFetch, httpExchange } from '@majorana/broker';
import { BROKER_OPTIONS, exchangeBy, readBroker } from './broker-options.ts';
import { ApiServer } from './kubernetes/api-server.ts';
import { readKubeconfig, readServiceAccount } from './kubernetes/kubeconfig.ts';
import { KubernetesAgent } from './kubernetes/kubernetes-agent.ts';
import { NODE_PATIENCE_MS, START_LIMITS } from './kubernetes/pod-host.ts';
import { systemClock } from './system-clock.ts';

/** As the image's user of most science images; 0 is refused by the pods' own rules. */
const RUN_AS_USER = 10_001;

const { values } = parseArgs({
  options: {
    name: { type: 'string' },
    url: { type: 'string' },
    'token-file': { type: 'string' },
    ...BROKER_OPTIONS,
    kubeconfig: { type: 'string' },
    context: { type: 'string' },
    namespace: { type: 'string', default: 'majorana' },
    'runner-image': { type: 'string', default: 'majorana-runner:0.1.0' },
    'runner-url': { type: 'string' },
    'gpu-resource': { type: 'string', default: 'nvidia.com/gpu' },
    'allow-host-path': { type: 'string', multiple: true, default: [] },
    'image-pull-secret': { type: 'string', multiple: true, default: [] },
    annotation: { type: 'string', multiple: true, default: [] },
    'run-as-user': { type: 'string', default: String(RUN_AS_USER) },
    'core-price-per-hour': { type: 'string' },
    'pull-patience-ms': { type: 'string', default: String(START_LIMITS.pullPatienceMs) },
    'start-patience-ms': { type: 'string', default: String(START_LIMITS.startPatienceMs) },
    'node-patience-ms': { type: 'string', default: String(NODE_PATIENCE_MS) },
  },
});
const { name, url, 'token-file': tokenFile } = values;
if (name === undefined || url === undefined || tokenFile === undefined)
  throw new Error('--name, --url and --token-file are needed');

const { kubeconfig, context } = values;
const access =
  kubeconfig === undefined ? readServiceAccount() : readKubeconfig(kubeconfig, context);
const api = apiFetch(url, tokenFile);
const price = values['core-price-per-hour'];
const agent = new KubernetesAgent({
  api: new ApiServer(await access),
  pods: {
    agentId: name,
    namespace: values.namespace,
    runnerImage: values['runner-image'],
    runnerUrl: values['runner-url'] ?? url,
    gpuResource: values['gpu-resource'],
    hostPaths: values['allow-host-path'],
    runAsUser: Number(values['run-as-user']),
    imagePullSecrets: values['image-pull-secret'],
    annotations: Object.fromEntries(
      values.annotation.map((text) => {
        const at = text.indexOf('=');
        return [text.slice(0, at), text.slice(at + 1)];
      }),
    ),
  },
  objects: {
    read: async (object) => Readable.fromWeb((await api(`objects/${object}`, {})).body!),
  },
  exchange: exchangeBy(readBroker(values), name, () => httpExchange(api)),
  limits: {
    pullPatienceMs: Number(values['pull-patience-ms']),
    startPatienceMs: Number(values['start-patience-ms']),
  },
  nodePatienceMs: Number(values['node-patience-ms']),
  clock: systemClock,
  ...(price !== undefined && { corePricePerHour: Number(price) }),
  log: (message, details) => {
    process.stderr.write(`${JSON.stringify({ message, ...details })}\n`);
  },
});
await agent.start();
process.stderr.write(`${JSON.stringify({ message: 'the agent is ready', name })}\n`);
process.once('SIGTERM', () => void agent.stop().finally(() => process.exit(0)));
