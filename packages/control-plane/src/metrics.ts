import { TASK_STATES } from '@majorana/core';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { AgentState } from './engine/agent-state.ts';
import type { Engine } from './engine/engine.ts';

/** Everything at /metrics. Labels are few: states, outcomes, routes; never ids. */
export class Metrics {
  readonly registry = new Registry();
  readonly commitSeconds = new Histogram({
    name: 'majorana_engine_commit_seconds',
    help: 'Time of one transaction of the engine',
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
    registers: [this.registry],
  });
  readonly transitions = new Counter({
    name: 'majorana_task_transitions_total',
    help: 'Transitions of tasks, by the state they led to',
    labelNames: ['to'],
    registers: [this.registry],
  });
  readonly attempts = new Counter({
    name: 'majorana_attempts_total',
    help: 'Attempts that ended, by outcome',
    labelNames: ['outcome'],
    registers: [this.registry],
  });
  readonly reloads = new Counter({
    name: 'majorana_engine_reloads_total',
    help: 'Writes that failed and made the engine load again',
    registers: [this.registry],
  });
  readonly refusedTokens = new Counter({
    name: 'majorana_refused_tokens_total',
    help: 'Requests without a token, or with one that is not known or not of its attempt',
    registers: [this.registry],
  });
  readonly requestSeconds = new Histogram({
    name: 'majorana_http_request_seconds',
    help: 'Time of HTTP requests, agents and open streams left out',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** Gauges are read from the engine's memory when somebody asks. */
  observe(engine: Engine): void {
    const gauge = (
      name: string,
      help: string,
      labelNames: string[],
      read: (gauge: Gauge) => void,
    ): void => {
      new Gauge({
        name,
        help,
        labelNames,
        registers: [this.registry],
        collect() {
          if (!engine.isReady) return;
          this.reset();
          read(this);
        },
      });
    };
    gauge('majorana_tasks', 'Tasks of open jobs by state', ['state'], (one) => {
      for (const state of TASK_STATES) {
        let count = 0;
        for (const job of engine.state.jobs.values()) count += job.counts[state];
        one.set({ state }, count);
      }
    });
    gauge('majorana_open_jobs', 'Jobs that have not ended', [], (one) =>
      one.set(engine.state.jobs.size),
    );
    const heardAgents = (): AgentState[] =>
      [...engine.state.agents.values()].filter(
        ({ agentId }) => engine.silenceOf(agentId) === undefined,
      );
    for (const part of ['capacity', 'free'] as const) {
      gauge(`majorana_agent_${part}_cores`, `Cores of agents: ${part}`, ['agent'], (one) => {
        for (const agent of heardAgents()) {
          one.set({ agent: agent.agentId }, agent[part].cpuMillis / 1000);
        }
      });
      gauge(
        `majorana_agent_${part}_memory_bytes`,
        `Memory of agents: ${part}`,
        ['agent'],
        (one) => {
          for (const agent of heardAgents()) {
            one.set({ agent: agent.agentId }, agent[part].memoryBytes);
          }
        },
      );
    }
  }
}
