import { describeBroker } from './broker.conformance.ts';
import { MemoryBroker } from './memory-broker.ts';

describeBroker(async () => {
  const broker = new MemoryBroker();
  return {
    serve: async (answer) => {
      const serving = broker.serve(answer);
      return { [Symbol.asyncDispose]: async () => serving[Symbol.dispose]() };
    },
    exchangeOf: (agentId) => broker.exchangeOf(agentId),
    namesAgents: true,
    [Symbol.asyncDispose]: async () => undefined,
  };
});
