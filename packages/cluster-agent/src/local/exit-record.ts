/** How a program ended, as the native shim wrote it. */
export interface ExitRecord {
  readonly exitCode?: number | undefined;
  readonly signal?: number | undefined;
  readonly error?: string | undefined;
  readonly endedBy?: string | undefined;
  /** The kernel killed a process of the attempt's group for its memory. */
  readonly isOutOfMemory: boolean;
  readonly peakMemoryBytes: number;
  readonly cpuTimeMs: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly leftoverCount: number;
}

export function parseExitRecord(text: string): ExitRecord {
  const values = new Map(
    text
      .split('\n')
      .filter((line) => line.includes('='))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  const number = (key: string): number => Number(values.get(key) ?? 0);
  const optional = (key: string): number | undefined =>
    values.get(key) ? Number(values.get(key)) : undefined;
  const exitCode = optional('exit_code');
  const signal = optional('signal');
  const error = values.get('error');
  const endedBy = values.get('ended_by');
  return {
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
    ...(error ? { error } : {}),
    ...(endedBy ? { endedBy } : {}),
    isOutOfMemory: values.get('oom') === '1',
    peakMemoryBytes: number('peak_memory_bytes'),
    cpuTimeMs: number('cpu_time_ms'),
    startedAtMs: number('started_at_ms'),
    endedAtMs: number('ended_at_ms'),
    leftoverCount: number('leftover'),
  };
}
