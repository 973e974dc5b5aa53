/** The options of a cluster's agent: its command line, its help and its documentation are made of these. */
export const KUBERNETES_OPTIONS = {
  name: { value: 'cluster', text: 'the cluster’s name; it stands in jobs and tables' },
  url: { value: 'url', text: 'the control plane; default: MAJORANA_URL' },
  'token-file': { value: 'file', text: 'holds the agent’s token; default: MAJORANA_TOKEN' },
  'nats-url': { value: 'url', text: 'exchange over this broker; default: over HTTP' },
  'nats-credentials': { value: 'file', text: 'the agent’s, as "majorana nats-key" makes them' },
  'nats-ca': { value: 'file', text: 'the authority of the broker’s certificate' },
  kubeconfig: { value: 'file', text: 'how to reach the cluster; default: as a pod inside it' },
  context: { value: 'context', text: 'of the kubeconfig; default: its current one' },
  namespace: { value: 'namespace', text: 'where pods are made; default: majorana' },
  'runner-image': {
    value: 'image',
    text: 'holds the runner; default: majorana-runner:0.1.0',
  },
  'runner-url': { value: 'url', text: 'the control plane as pods see it; default: --url' },
  'run-as-user': { value: 'number', text: 'user and group of tasks; default: 10001' },
  'gpu-resource': { value: 'resource', text: 'GPUs’ name in nodes; default: nvidia.com/gpu' },
  'core-price-per-hour': {
    value: 'price',
    text: 'the cheaper cluster is filled first; default: the dearest',
  },
  'pull-patience-ms': { value: 'ms', text: 'a pull that fails for so long is given up' },
  'start-patience-ms': { value: 'ms', text: 'a start that takes so long is given up' },
  'node-patience-ms': {
    value: 'ms',
    text: 'what runs on a node that is silent, or does not end it, is given up after it',
  },
  'allow-host-path': {
    value: 'folder',
    text: 'tasks may mount what is below it; repeatable; default: nothing',
    isList: true,
  },
  'allow-host-network': {
    value: undefined,
    text: 'tasks may use their node’s network, past every network policy',
  },
  'image-pull-secret': {
    value: 'secret',
    text: 'of the namespace, for its images; repeatable',
    isList: true,
  },
  annotation: { value: 'key=value', text: 'on each pod; repeatable', isList: true },
} as const satisfies Record<string, KubernetesOption>;

interface KubernetesOption {
  /** Undefined: it has none. */
  readonly value: string | undefined;
  readonly text: string;
  readonly isList?: true;
}

export type KubernetesOptionName = keyof typeof KUBERNETES_OPTIONS;
export type GivenOptions = Readonly<
  Partial<Record<KubernetesOptionName, string | boolean | readonly string[] | undefined>>
>;
