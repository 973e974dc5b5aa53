import { rm } from 'node:fs/promises';
import type { ClusterNode } from '@majorana/protocol';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { AddOptions } from '../clusters/add.ts';
import type { SettingsOptions } from '../clusters/settings.ts';
import type { JsonOption } from '../command.ts';
import { addCommand, numberIn } from '../command.ts';
import { barWidthFor } from '../clusters/amounts.ts';
import type { NodeChoice } from '../clusters/nodes.ts';
import { chooseNodes, NODE_ORDERS, NODE_STATES, nodesTable } from '../clusters/nodes.ts';
import {
  clusterPage,
  clustersTable,
  leaseSentence,
  priceSentence,
  stateSentence,
} from '../clusters/text.ts';
import { connect } from '../connect.ts';
import { answer, CliError, EXIT, note, plural, print } from '../output.ts';
import { parseDuration } from '../submit/quantities.ts';

const NODES_PER_PAGE = 500;
const GRACE_MS = 5 * 60_000;

const tokenFileOf = (name: string): string => `majorana-${name}.token`;

async function addCluster(name: string, options: AddOptions & JsonOption): Promise<void> {
  const add = await import('../clusters/add.ts');
  const { agentCommand, check, findingsText, manifestOf, openTokenFile, register } = add;
  add.checkName(name);
  const { settingsOf } = await import('../clusters/settings.ts');
  const settings = settingsOf(options);
  const findings = [...(await check(options)), ...add.urlFindings(options)];
  if (options.json !== true) note(findingsText(findings));
  const isManifest = options.printManifest === true;
  // Inside the cluster the agent has an account of its own; here its roles are another's matter.
  if (!isManifest && findings.some(({ verdict }) => verdict === 'missing'))
    throw new CliError(
      `${name} is not added: mend what has ✗, then repeat this`,
      EXIT.refused,
      add.issuesOf(findings),
    );
  if (isManifest) {
    const { token, url } = await register(name, settings);
    print(manifestOf(name, url, options, token));
    return;
  }
  const file = options.tokenFile ?? tokenFileOf(name);
  await using opened = await openTokenFile(file);
  const { cluster, token, url } = await register(name, settings).catch(async (error: unknown) => {
    await rm(file);
    throw error;
  });
  await opened.writeFile(`${token}\n`);
  const command = agentCommand(name, url, options, file);
  answer(
    options,
    { cluster, findings, tokenFile: file, command },
    () => `${name} is added; its agent's token is in ${file}. Run the agent:\n  ${command}`,
  );
}

const LEASE_TTL_HELP =
  'how long its agent may be silent before its tasks run elsewhere, 60s to 7d; 90m unless set';

const DATA_PRICE_HELP =
  'what a GB costs that is brought there from the object store, or back; 0 unless set';
const priceOption = numberIn(0, 1e6, false);

function addSet(clusters: Command): void {
  addCommand(clusters, {
    usage: 'set <cluster>',
    description:
      'change how long a cluster that is silent keeps its tasks, and what bringing data there costs',
    examples: [
      'majorana clusters set lab --lease-ttl 6h',
      'majorana clusters set lab --data-price-per-gb 0.09',
    ],
  })
    .option('--lease-ttl <duration>', LEASE_TTL_HELP)
    .option('--data-price-per-gb <price>', DATA_PRICE_HELP, priceOption)
    .action(async (name: string, options: JsonOption & SettingsOptions) => {
      const { settingsOf } = await import('../clusters/settings.ts');
      const settings = settingsOf(options);
      if (settings === undefined) throw new CliError('say what: --lease-ttl, --data-price-per-gb');
      const cluster = await connect().changeCluster(name, settings);
      const said = [
        ...(settings.leaseTtlMs === undefined ? [] : [leaseSentence(cluster, Date.now())]),
        ...(settings.dataPricePerGb === undefined ? [] : [priceSentence(cluster)]),
      ];
      answer(options, cluster, () => said.join('\n'));
    });
}

function addAdd(clusters: Command): void {
  addCommand(clusters, {
    usage: 'add <name>',
    description:
      'check a Kubernetes cluster, make it known, and make its agent’s token; says what is missing',
    examples: [
      'majorana clusters add lab --kubeconfig lab.yaml --create-namespace',
      'majorana clusters add lab --kubeconfig lab.yaml --print-manifest | kubectl apply -f -',
    ],
  })
    .requiredOption('--kubeconfig <file>', 'how to reach the cluster')
    .option('--context <context>', 'of the kubeconfig; default: its current one')
    .option('--namespace <namespace>', 'where pods are made', 'majorana')
    .option('--create-namespace', 'make the namespace when it is not there')
    .option('--runner-image <image>', 'holds the runner', 'majorana-runner:0.1.0')
    .option('--gpu-resource <resource>', 'GPUs’ name in nodes', 'nvidia.com/gpu')
    .option('--url <url>', 'this control plane as the cluster sees it; default: as you do')
    .option('--token-file <file>', 'where to write the token; default: majorana-NAME.token')
    .option('--print-manifest', 'print what deploy/kubernetes lacks, token included, as YAML')
    .option('--agent-namespace <namespace>', 'of that manifest', 'majorana-system')
    .option('--lease-ttl <duration>', LEASE_TTL_HELP)
    .option('--data-price-per-gb <price>', DATA_PRICE_HELP, priceOption)
    .action(addCluster);
}

interface RotateOptions extends JsonOption {
  readonly tokenFile?: string;
  readonly printManifest?: boolean;
  readonly agentNamespace: string;
}

async function rotateToken(name: string, options: RotateOptions): Promise<void> {
  const { replaceToken, secretOf } = await import('../clusters/add.ts');
  const { id, token } = await connect().addClusterToken(name);
  const then = `Those before it go on until you take them back, once its agent has the new one:
  majorana clusters revoke-tokens ${name}`;
  if (options.printManifest === true) {
    note(`token ${id} of ${name}. ${then}`);
    print(secretOf(options.agentNamespace, token));
    return;
  }
  const tokenFile = options.tokenFile ?? tokenFileOf(name);
  await replaceToken(tokenFile, token);
  answer(options, { id, tokenFile }, () => `token ${id} of ${name} is in ${tokenFile}. ${then}`);
}

function addTokens(clusters: Command): void {
  addCommand(clusters, {
    usage: 'rotate-token <cluster>',
    description: 'make another token for a cluster’s agent; those before it go on until revoked',
    examples: [
      'majorana clusters rotate-token lab --token-file /etc/majorana/lab.token',
      'majorana clusters rotate-token lab --print-manifest | kubectl apply -f -',
    ],
  })
    .option('--token-file <file>', 'where to write it, over the old; default: majorana-NAME.token')
    .option('--print-manifest', 'print the Secret of deploy/kubernetes, token included, as YAML')
    .option('--agent-namespace <namespace>', 'of that Secret', 'majorana-system')
    .action(rotateToken);
  addCommand(clusters, {
    usage: 'revoke-tokens <cluster>',
    description: 'take the tokens of a cluster’s agent back, but the newest',
    examples: ['majorana clusters revoke-tokens lab', 'majorana clusters revoke-tokens lab --all'],
  })
    .option('--all', 'the newest too: its agent ends, and what it runs is lost a minute later')
    .action(async (name: string, options: JsonOption & { readonly all?: boolean }) => {
      const { revokedCount } = await connect().revokeClusterTokens(name, options.all === true);
      answer(
        options,
        { revokedCount },
        () => `${plural(revokedCount, 'token')} of ${name} taken back`,
      );
    });
}

function addReads(program: Command, clusters: Command): void {
  addCommand(
    clusters,
    {
      usage: 'list',
      description: 'the clusters; what "majorana clusters" does',
      examples: ['majorana clusters', 'majorana clusters --json'],
    },
    true,
  ).action(async (options: JsonOption) => {
    const page = await connect().clusters();
    answer(options, page, () => clustersTable(page.clusters, Date.now()));
  });
  addCommand(clusters, {
    usage: 'show <cluster>',
    description:
      'nodes, room, pods, the dispatch window and why it has its size, latencies, faults',
    examples: ['majorana clusters show lab'],
  }).action(async (name: string, options: JsonOption) => {
    const cluster = await connect().cluster(name);
    answer(options, cluster, () => clusterPage(cluster, Date.now(), barWidthFor(process.stdout)));
  });
  addCommand(program, {
    usage: 'nodes <cluster>',
    description: 'the nodes of a cluster, asked of its agent now: used/all, pods of tasks/all',
    examples: [
      'majorana nodes lab',
      'majorana nodes lab --state not-ready',
      'majorana nodes lab --sort gpus --limit 10',
      'majorana nodes lab --of c7a.24xlarge --json',
    ],
  })
    .addOption(new Option('--state <state>', 'only these').choices(NODE_STATES))
    .option('--of <type>', 'only of this instance type or size, as the column OF has it')
    .addOption(
      new Option('--sort <by>', 'by name, or most free first').choices(NODE_ORDERS).default('name'),
    )
    .option('--limit <number>', 'at most so many; default: all, in a terminal 50', numberIn(1))
    .action(showNodes);
}

/** More is no page that a person reads. */
const NODES_SHOWN = 50;

interface NodesOptions extends JsonOption, NodeChoice {
  readonly limit?: number;
}

async function showNodes(name: string, options: NodesOptions): Promise<void> {
  const nodes = chooseNodes(await readNodes(name), options);
  const { limit = process.stdout.isTTY ? NODES_SHOWN : Infinity } = options;
  answer(options, { nodes: nodes.slice(0, options.limit) }, () =>
    nodesTable(nodes, Date.now(), { barWidth: barWidthFor(process.stdout), limit }),
  );
}

async function readNodes(name: string): Promise<ClusterNode[]> {
  const client = connect();
  const nodes: ClusterNode[] = [];
  let after: string | null = '';
  while (after !== null) {
    const page = await client.clusterNodes(name, { after, limit: NODES_PER_PAGE });
    nodes.push(...page.nodes);
    after = page.next;
  }
  return nodes;
}

function addOrders(clusters: Command): void {
  for (const [order, description] of [
    ['cordon', 'give a cluster no new tasks; what it has goes on'],
    ['uncordon', 'give a cluster tasks again, also when it drains'],
  ] as const) {
    addCommand(clusters, {
      usage: `${order} <cluster>`,
      description,
      examples: [`majorana clusters ${order} lab`],
    }).action(async (name: string, options: JsonOption) => {
      const cluster = await connect().setCluster(name, order);
      answer(options, cluster, () => stateSentence(cluster, Date.now()));
    });
  }
  addCommand(clusters, {
    usage: 'drain <cluster>',
    description:
      'empty a cluster: what does not run yet goes elsewhere at once, the rest after a grace, uncounted',
    examples: ['majorana clusters drain lab --grace 30m', 'majorana clusters show lab'],
  })
    .option('--grace <duration>', 'what runs may go on for so long; default: 5m')
    .action(async (name: string, options: JsonOption & { readonly grace?: string }) => {
      const cluster = await connect().drainCluster(
        name,
        options.grace === undefined ? GRACE_MS : parseDuration('--grace', options.grace),
      );
      answer(options, cluster, () => stateSentence(cluster, Date.now()));
    });
  addCommand(clusters, {
    usage: 'remove <cluster>',
    description: 'forget a cluster and take its agent’s token back; drain it first',
    examples: ['majorana clusters remove lab'],
  })
    .option(
      '--force',
      'also while it holds tasks: they run elsewhere, and its pods are left to you',
    )
    .action(async (name: string, options: JsonOption & { readonly force?: boolean }) => {
      await connect().removeCluster(name, options.force === true);
      answer(options, { removed: name }, () => `${name} was removed`);
    });
}

export function addClusterCommands(program: Command): void {
  const clusters = program
    .command('clusters')
    .description('Kubernetes clusters: add, look at, set, cordon, drain and remove them');
  addReads(program, clusters);
  addAdd(clusters);
  addTokens(clusters);
  addSet(clusters);
  addOrders(clusters);
}
