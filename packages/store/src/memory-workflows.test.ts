import { MemoryDatabase } from './memory-store.ts';
import { MemoryWorkflows } from './memory-workflows.ts';
import { describeWorkflowStore } from './conformance/workflow-store.conformance.ts';

describeWorkflowStore('runs in memory', async () => {
  const database = new MemoryDatabase();
  const workflows = new MemoryWorkflows(database);
  return {
    runs: workflows,
    results: workflows,
    engine: database.connect(),
    create: async (run) => workflows.create(run, 0),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
});
