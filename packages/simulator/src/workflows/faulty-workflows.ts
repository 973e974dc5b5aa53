import type { DrivingResults, OpenRuns, WorkflowRuns } from '@majorana/store';
import type { MemoryWorkflows } from '@majorana/store/memory-workflows';
import type { CallKind, Caller } from '../outside-calls.ts';
import { OutsideCalls } from '../outside-calls.ts';
import type { World } from '../world.ts';

const kind = (name: string): CallKind => ({
  name: `runs.${name}`,
  meanMs: 3,
  failBefore: 'storeFailBefore',
  failAfter: 'storeFailAfter',
  slow: 'storeSlow',
  outlivesCaller: true,
});

/** Runs and results over a network: slow, failing, and still at work for a dead client. */
export function faultyWorkflows(
  store: MemoryWorkflows,
  world: World,
  caller: Caller,
): OpenRuns & Pick<WorkflowRuns, 'resume'> & DrivingResults {
  const calls = new OutsideCalls(world, caller, world.random.stream(`runs/${caller.name}`));
  const call = <R>(name: string, text: string, act: () => Promise<R>): Promise<R> =>
    calls.call(kind(name), { jobId: 0, text }, async () => {
      const value = await act();
      world.trace.add(`runs.${name}`, 0, text);
      return value;
    });
  return {
    openRunIds: () => call('open', '', () => store.openRunIds()),
    find: (runId) => call('find', `run_${runId}`, () => store.find(runId)),
    latestRound: (runId) => call('round', `run_${runId}`, () => store.latestRound(runId)),
    write: (round, change, nowMs) => {
      const steps = [...change.steps].map(([path, { status }]) => `${path} ${status}`);
      const text = `run_${round.runId} version ${round.version}: ${steps.join(', ')}`;
      return call('write', text, () => store.write(round, change, nowMs));
    },
    resume: (runId, change, nowMs) =>
      call('resume', `run_${runId}`, () => store.resume(runId, change, nowMs)),
    instance: (runId, round, path) =>
      call('instance', `run_${runId} ${path}`, () => store.instance(runId, round, path)),
    reuse: (reader, keys) => call('reuse', `${keys.length}`, () => store.reuse(reader, keys)),
    parametersOf: (instanceId) =>
      call('parameters', `${instanceId}`, () => store.parametersOf(instanceId)),
    failed: (instance, project) =>
      call('failed', instance.path, () => store.failed(instance, project)),
    outputs: (round, paths, project) =>
      call('outputs', paths.join(' '), () => store.outputs(round, paths, project)),
  };
}
