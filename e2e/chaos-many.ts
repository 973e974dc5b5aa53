import { chaos } from './chaos.ts';

/** `node e2e/chaos-many.ts FROM COUNT`: seeds by hand; ends with 1 and the seed at the first failure. */
const [from = 1, count = 100] = process.argv.slice(2).map(Number);
for (let seed = from; seed < from + count; seed += 1) {
  const report = await chaos(seed, 2000);
  const wrong = report.runsPerTask.filter((runs) => runs !== 1).length;
  const isRight =
    wrong === 0 && report.counts['succeeded'] === 1800 && report.counts['failed'] === 200;
  console.log(
    `seed ${seed}: ${isRight ? 'right' : `WRONG, ${wrong} tasks not run once`}; ${JSON.stringify(report.kills)} in ${report.seconds.toFixed(1)} s`,
  );
  if (!isRight) {
    process.exitCode = 1;
    break;
  }
}
