import type { ClusterView } from '@majorana/protocol';
import type { KubernetesObject } from '@majorana/test-servers';
import { Relay, until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Cluster } from './fault-ground.ts';
import { ACCOUNT_USER, FaultGround, podsOf } from './fault-ground.ts';
import { untilEnded } from './fault-workload.ts';

const MINUTE = 60_000;
/** Longer than a lease of 60 s, the shortest there is; longer cuts are waited for by hand. */
const CUT_MS = Number(process.env['MAJORANA_CUT_MINUTES'] ?? 1.1) * MINUTE;

let ground: FaultGround;
let line: Relay;
let cluster: Cluster;
beforeAll(async () => {
  ground = await FaultGround.start();
  line = await Relay.start(ground.url);
  cluster = await ground.addCluster('kwok', '--url', `http://127.0.0.1:${line.port}`);
});
afterAll(async () => {
  await ground?.[Symbol.asyncDispose]();
  await line?.[Symbol.asyncDispose]();
});

const show = (): Promise<ClusterView> => ground.product.json('clusters', 'show', 'kwok');

const phaseOf = (pod: KubernetesObject): string | undefined =>
  (pod['status'] as { phase?: string } | undefined)?.phase;

const attemptsOf = async (jobId: number): Promise<readonly { readonly outcome: string | null }[]> =>
  ground.postgres.query('select outcome from attempt where job_id = $1', [jobId]);

test(
  'an agent cut off for longer than a minute keeps its tasks, and ten seconds later both sides agree',
  { timeout: CUT_MS + 5 * MINUTE },
  async () => {
    const { product, postgres } = ground;
    const brief = await ground.played({ runMs: 20_000, exitCode: 0 }, 20);
    const long = await ground.played({ runMs: CUT_MS + 60 * MINUTE, exitCode: 0 }, 10);
    await ground.running(brief, 20);
    await ground.running(long, 10);
    const mark = await cluster.kubernetes.audit.mark();
    line.cut();
    await until('the agent to be silent', async () => !(await show()).isConnected, MINUTE);
    const late = await ground.played({ runMs: 0, exitCode: 0 }, 5);
    const { lastSeenMs } = await show();
    const minutes = `${CUT_MS / MINUTE} minutes of silence`;
    await until(minutes, () => Date.now() - lastSeenMs! > CUT_MS, CUT_MS + MINUTE);
    const { heldCount, leasesEndAtMs, leaseTtlMs } = await show();
    expect({ heldCount, keptMs: leasesEndAtMs! - lastSeenMs! }).toEqual({
      heldCount: 30,
      keptMs: leaseTtlMs,
    });
    expect(await product.ok('why', `job_${long.jobId}.0`)).toMatch(
      /running on kwok, which has been silent for \d+ (s|min); its lease is kept for \d+ min more/,
    );
    expect(await product.ok('why', `job_${late.jobId}.0`)).toContain('kwok has been silent for');
    expect(await attemptsOf(late.jobId)).toEqual([]);
    const pods = await podsOf(cluster.kubernetes);
    expect(pods.filter((pod) => phaseOf(pod) === 'Succeeded')).toHaveLength(20);

    line.mend();
    await untilEnded(postgres, [brief], 10_000);
    await untilEnded(postgres, [late], 10_000);
    const ran = await Promise.all([brief, long].map(({ jobId }) => attemptsOf(jobId)));
    const once = (count: number, outcome: string | null) => Array(count).fill({ outcome });
    expect(ran).toEqual([once(20, 'succeeded'), once(10, null)]);
    const requests = await cluster.kubernetes.audit.requestsOf(ACCOUNT_USER, mark);
    expect(requests.filter(({ verb }) => verb === 'list')).toEqual([]);
    await product.ok('cancel', `job_${long.jobId}`);
    await ground.allEnded([long]);
    await ground.verdict([brief, late]);
  },
);
