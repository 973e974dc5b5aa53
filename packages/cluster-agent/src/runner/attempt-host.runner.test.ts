import { testAttemptHost } from '../attempt-host.conformance.ts';
import { RunnerBench } from './test-runner-bench.ts';

testAttemptHost(() => RunnerBench.open());
