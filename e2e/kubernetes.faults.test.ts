import { setTimeout } from 'node:timers/promises';
import type { KubernetesObject, RequestStep } from '@majorana/test-servers';
import { expect, test } from 'vitest';
import type { Cluster } from './fault-ground.ts';
import {
  ACCOUNT_USER,
  addNode,
  FaultGround,
  NAMESPACE,
  NODE_CORES,
  onGoodGround,
  podsOf,
} from './fault-ground.ts';
import { nodeOf, reviveNode, silenceNode, taintNode } from './fault-nodes.ts';
import type { PlayedJob } from './fault-workload.ts';
import { untilEnded } from './fault-workload.ts';
import { until } from './product.ts';

const TASKS = 200;

let ground: FaultGround;
let cluster: Cluster;
onGoodGround(async () => {
  ground = await FaultGround.start({ kwok: ['--node-patience-ms', '1000'] });
  [cluster] = ground.clusters as [Cluster];
  return ground;
});

test('nothing fails', async () => {
  await ground.verdict(await ground.workload(TASKS));
});

test('three in ten requests are answered 429 or 500, and some answers are lost', async () => {
  const { proxy } = cluster;
  proxy.faults = {
    tooManyRequestsShare: 0.15,
    serverErrorShare: 0.15,
    lostAnswerShare: 0.05,
    latencyMs: [0, 30],
  };
  // Each refusal closes the window for a second, and it shrinks to four pods at once.
  const jobs = await ground.workload(TASKS / 4);
  await ground.allEnded(jobs).finally(() => (proxy.faults = {}));
  await ground.verdict(jobs);
  const { tooManyRequests, serverError, lostAnswer } = proxy.injected;
  expect(Math.min(tooManyRequests, serverError, lostAnswer)).toBeGreaterThan(0);
});

test('watches break, also in the middle of a line, and are told that they fell behind', async () => {
  const { proxy } = cluster;
  proxy.faults = { watchCutShare: 1, watchCutAfterMs: [0, 400], goneShare: 0.3 };
  proxy.cutWatches();
  const jobs = await ground.workload(TASKS);
  await ground.allEnded(jobs).finally(() => (proxy.faults = {}));
  await ground.verdict(jobs);
  expect(Math.min(proxy.injected.watchCut, proxy.injected.gone)).toBeGreaterThan(0);
});

test('a task costs the API server two requests, and its pod is below 4 kB', async () => {
  const { kubernetes, proxy } = cluster;
  const sizes: number[] = [];
  const mark = await kubernetes.audit.mark();
  proxy.onStep = ({ method, at, bodyBytes }) => {
    if (method === 'POST' && at === 'arrived') sizes.push(bodyBytes);
  };
  const job = await ground.played({ runMs: 100, exitCode: 0 }, TASKS);
  await ground.allEnded([job]);
  await until('the last pod to be gone', async () => (await podsOf(kubernetes)).length === 0);
  proxy.onStep = () => undefined;
  // The line of the last test's last request may be written after the mark.
  const isOfEarlier = (name = ''): boolean =>
    name.startsWith('majorana-') && !name.startsWith(`majorana-${job.jobId}-`);
  const requests = (await kubernetes.audit.requestsOf(ACCOUNT_USER, mark)).filter(
    ({ objectRef }) => !isOfEarlier(objectRef?.name),
  );
  const made = requests
    .filter(({ verb }) => verb !== 'watch')
    .map(({ verb, objectRef }) => `${verb} ${objectRef?.resource} ${objectRef?.name}`);
  const isOneOfTwo = (one: string, at: number): boolean =>
    /^(create|delete) pods majorana-\d+-\d+-1$/.test(one) && made.indexOf(one) === at;
  expect(made.filter((one, at) => !isOneOfTwo(one, at))).toEqual([]);
  expect(Math.max(...sizes)).toBeLessThan(4000);
  expect(sizes).toHaveLength(TASKS);
  const kinds = new Set(requests.map(({ objectRef }) => objectRef?.resource));
  expect(kinds.isSubsetOf(new Set(['pods', 'nodes']))).toBe(true);
});

test('the API server is killed, and started again', async () => {
  const jobs = await ground.workload(TASKS);
  await ground.ended(jobs, 1 + ground.draw(TASKS / 2));
  await cluster.kubernetes.killApiServer();
  await cluster.kubernetes.restartApiServer();
  await ground.verdict(jobs);
});

test('the control plane is killed again and again', async () => {
  const jobs = await ground.workload(TASKS);
  for (let count = 0; count < 3; count += 1) {
    ground.killControlPlane();
    await until(
      'another control plane',
      async () => (await ground.product.run('status')).code === 0,
    );
  }
  await ground.verdict(jobs);
});

test('pods are deleted and evicted by hand', async () => {
  const { admin } = cluster.kubernetes;
  const job = await ground.played({ runMs: 1500, exitCode: 0 }, 20);
  await ground.running(job, 20);
  for (const { metadata } of ground.shuffled(await podsOf(cluster.kubernetes))) {
    const path = `/api/v1/namespaces/${NAMESPACE}/pods/${metadata.name}`;
    const graceSeconds = [0, 1][ground.draw(4)];
    if (graceSeconds !== undefined) await admin.delete(path, graceSeconds).catch(() => undefined);
    else
      await admin
        .create(`${path}/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata })
        .catch(() => undefined);
  }
  await ground.verdict([job]);
});

test('a node is deleted, another falls silent, a third is tainted', async () => {
  const { admin } = cluster.kubernetes;
  const job = await ground.played({ runMs: 10_000, exitCode: 0 }, 48);
  await ground.running(job, 48);
  const busy = new Set((await podsOf(cluster.kubernetes)).map(nodeOf));
  const [deleted, silent, tainted] = ground.shuffled([...busy]) as [string, string, string];
  await admin.delete(`/api/v1/nodes/${deleted}`);
  await silenceNode(admin, silent);
  await taintNode(admin, tainted, [{ key: 'test', effect: 'NoSchedule' }]);
  const lost = "select 1 from attempt where job_id = $1 and outcome = 'lost'";
  await until('the tasks of both nodes to be given up', async () => {
    const { length } = await ground.postgres.query(lost, [job.jobId]);
    return length >= NODE_CORES * 2;
  });
  await ground.allEnded([job]);
  await addNode(admin, deleted);
  await reviveNode(admin, silent);
  await taintNode(admin, tainted, []);
  await ground.verdict([job]);
  const outcomes = await ground.postgres.query<{ reason: string }>(
    "select distinct reason from attempt where job_id = $1 and outcome = 'lost'",
    [job.jobId],
  );
  expect(outcomes.some(({ reason }) => reason === `node ${deleted} is gone`)).toBe(true);
});

test('etcd is stopped for ten seconds', async () => {
  const jobs = await ground.workload(TASKS);
  await ground.ended(jobs, 1 + ground.draw(TASKS / 2));
  cluster.kubernetes.pauseEtcd();
  await setTimeout(10_000);
  cluster.kubernetes.resumeEtcd();
  await ground.verdict(jobs);
});

/** As its agent sees a pod's life: sent, created, told; then recorded, deleted, told. */
const STEPS = [
  ['POST', 'arrived'],
  ['POST', 'done'],
  ['POST', 'answered'],
  ['DELETE', 'arrived'],
  ['DELETE', 'done'],
  ['DELETE', 'answered'],
] as const;

/** Resolves when the agent has been killed at the n-th such request. */
function killedAt(method: string, at: RequestStep['at'], nth: number): Promise<void> {
  const { proxy, agent } = cluster;
  let left = nth;
  return new Promise((resolve) => {
    proxy.onStep = async (step) => {
      if (step.method !== method || step.at !== at) return;
      left -= 1;
      if (left !== 0) return;
      await agent.kill();
      proxy.onStep = () => undefined;
      resolve();
    };
  });
}

/** Six times another agent waits 20 s until the session of the killed one is over. */
const SIX_TAKEOVERS_MS = 600_000;

test(
  'the agent is killed between any two steps of a pod’s life',
  { timeout: SIX_TAKEOVERS_MS },
  async () => {
    const jobs: PlayedJob[] = [];
    for (const [method, at] of STEPS) {
      const killed = killedAt(method, at, 1 + ground.draw(20));
      jobs.push(...(await ground.workload(30)));
      await killed;
      await cluster.agent.start();
    }
    await ground.verdict(jobs);
  },
);

test('of two agents one acts, whichever falls silent, is killed, or comes back', async () => {
  const { agent, otherAgent } = cluster;
  otherAgent.launch();
  await otherAgent.says('standing by');
  const jobs = await ground.workload(TASKS / 2);
  await ground.ended(jobs, 1 + ground.draw(40));
  agent.pause();
  jobs.push(...(await ground.workload(TASKS / 2)));
  await otherAgent.says('the agent is ready');
  agent.forgetLog();
  agent.resume();
  await agent.says('standing by');
  jobs.push(...(await ground.workload(TASKS / 2)));
  await ground.ended(jobs, TASKS + 1 + ground.draw(40));
  await otherAgent.kill();
  await agent.says('the agent is ready');
  await ground.verdict(jobs);
  await agent.kill();
  jobs.push(...(await ground.workload(TASKS / 4)));
  agent.launch();
  otherAgent.launch();
  await ground.verdict(jobs);
  await otherAgent.kill();
  await agent.says('the agent is ready');
});

test('an agent that starts anew goes on with pods that have not started', async () => {
  const job = await ground.played({ runMs: 100, exitCode: 0 }, 20);
  await killedAt('POST', 'answered', 10);
  await cluster.agent.start();
  await ground.verdict([job]);
});

test.each([60_000, -60_000])('the agent’s clock is wrong by %i ms', async (skewMs) => {
  const { agent } = cluster;
  const shift = `const now=Date.now;Date.now=()=>now()+${skewMs}`;
  await agent.kill();
  agent.nodeArgs.push('--import', `data:text/javascript,${shift}`);
  await agent.start();
  await ground.verdict(await ground.workload(TASKS / 2));
  await agent.kill();
  agent.nodeArgs.length = 0;
  await agent.start();
});

test('after a cut from the API server both sides agree within ten seconds', async () => {
  const { proxy, kubernetes } = cluster;
  const job = await ground.played({ runMs: 3000, exitCode: 0 }, 40);
  await ground.running(job, 40);
  const mark = await kubernetes.audit.mark();
  proxy.cut();
  await until('the pods to end unseen', async () =>
    (await podsOf(kubernetes)).every((pod) => phaseOf(pod) === 'Succeeded'),
  );
  proxy.mend();
  await untilEnded(ground.postgres, [job], 10_000);
  await ground.verdict([job]);
  const lists = (await kubernetes.audit.requestsOf(ACCOUNT_USER, mark)).filter(
    ({ verb }) => verb === 'list',
  );
  expect(lists).toEqual([]);
});

const phaseOf = (pod: KubernetesObject): string | undefined =>
  (pod['status'] as { phase?: string } | undefined)?.phase;
