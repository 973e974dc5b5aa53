import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bindPlaceholders, fillPlaceholders, literal, placeholderFiller } from '../placeholder.ts';
import { advance, RunProgress } from './advance.ts';
import { checkWorkflow } from './check.ts';
import { judge, readPointer } from './condition.ts';
import type { NestedStep, Step, TaskStep, WorkflowBody, WorkflowDefinition } from './definition.ts';
import { isNested, matchesPattern } from './definition.ts';
import type { Template } from './key.ts';
import { differences, keyMaker, keyParts, nearest } from './key.ts';
import { remainingMs } from './remaining.ts';
import { resolveFiles, resolveValue } from './resolve.ts';
import { locate, patternOf, rootScope } from './scope.ts';
import type { Command, Fact, RunState } from './state.ts';
import { isFinalRun, isFinalStep, NEW_RUN } from './state.ts';

const task = (edit: Partial<TaskStep> = {}): TaskStep => ({
  argv: ['x'],
  env: {},
  inputs: [],
  values: {},
  outputs: ['o'],
  tools: {},
  isRepeatable: true,
  successPercentMin: 100,
  after: [],
  ...edit,
});
const flow = (
  steps: Readonly<Record<string, Step>>,
  edit: Partial<WorkflowDefinition> = {},
): WorkflowDefinition => ({ name: 'w', inputs: {}, outputs: {}, steps, ...edit });
const nested = (workflow: WorkflowBody, edit: Partial<NestedStep> = {}): NestedStep => ({
  after: [],
  with: {},
  successPercentMin: 100,
  workflow,
  ...edit,
});
const from = (...names: string[]): TaskStep['inputs'] =>
  names.map((name) => ({ path: name, from: name, isOptional: false }));

/** Workflows of up to eight steps in layers, some of them nested, some of those repeated. */
const bodies = (depth: number): fc.Arbitrary<Readonly<Record<string, Step>>> =>
  fc
    .array(
      fc.record({
        upstream: fc.array(fc.nat(7), { maxLength: 3 }),
        hasCondition: fc.boolean(),
        isNested: depth > 0 ? fc.boolean() : fc.constant(false),
        isRepeated: fc.boolean(),
        isSpread: fc.boolean(),
        successPercentMin: fc.constantFrom(0, 50, 100),
        inner: depth > 0 ? bodies(depth - 1) : fc.constant({}),
      }),
      { minLength: 1, maxLength: depth > 0 ? 6 : 3 },
    )
    .map((drawn) => {
      const steps: Record<string, Step> = {};
      for (const [at, one] of drawn.entries()) {
        const upstream = [...new Set(one.upstream.filter((other) => other < at))].map(
          (n) => `s${n}`,
        );
        const when = one.hasCondition
          ? { when: { kind: 'value', value: 'a', equals: 'a' } as const }
          : {};
        const until = { kind: 'value', value: '{iteration}', equals: '2' } as const;
        const nested: Step = {
          after: upstream,
          workflow: { inputs: {}, steps: one.inner, outputs: {} },
          with: {},
          successPercentMin: one.successPercentMin,
          ...(one.isSpread
            ? { each: { kind: 'values', values: ['a', 'b'] } as const }
            : one.isRepeated
              ? { repeat: { until, iterationsMax: 3, carry: {} } }
              : {}),
          ...when,
        };
        steps[`s${at}`] = one.isNested ? nested : task({ after: upstream, ...when });
      }
      return steps;
    });

/** Answers commands as chance has it, as the edge may: late, twice, and not in order. */
function answerTo(command: Command, draw: () => number, definition: WorkflowDefinition): Fact {
  const { path } = command;
  const kind = draw();
  if (command.kind === 'decide') {
    const { iteration } = command;
    return { kind: 'decided', path, iteration, holds: kind % 3 > 0, why: 'chance' };
  }
  if (command.kind === 'prepare') {
    if (kind % 7 === 0) return { kind: 'refused', path, reason: 'chance' };
    if (isNested(locate(definition, path)!.step)) {
      const elements = [{ value: 'a' }, { value: 'b' }, { value: 'c' }].slice(0, kind % 4);
      return { kind: 'prepared', path, elementCount: elements.length, reusedCount: 0, elements };
    }
    return { kind: 'prepared', path, elementCount: 3, reusedCount: kind % 4 };
  }
  if (command.kind === 'submit') return { kind: 'submitted', path, jobId: kind + 1 };
  return { kind: 'ended', path, failedCount: kind % 5 === 0 ? 1 : 0, failed: [] };
}

/** The invariants that stand above the type. */
function checkRun(definition: WorkflowDefinition, before: RunState, after: RunState): void {
  for (const [path, state] of Object.entries(after.steps)) {
    const found = locate(definition, path);
    expect(found, path).toBeDefined();
    const old = before.steps[path];
    if (isFinalStep(old)) expect(state).toEqual(old);
    for (const name of found!.step.after) {
      const upstream = after.steps[found!.scope.prefix + name];
      const isBegun = !['blocked', 'skipped', 'cancelled'].includes(state.status);
      if (isBegun) expect(upstream?.status, `${path} after ${name}`).toBe('succeeded');
    }
    const around = found!.scope.around;
    if (around === undefined) continue;
    expect(after.steps[around.scope.prefix + around.name]).toBeDefined();
    if (around.step.each !== undefined || around.ordinal === 1) continue;
    for (const name of Object.keys(around.step.workflow.steps)) {
      const earlier = `${around.scope.prefix}${around.name}[${around.ordinal - 1}].${name}`;
      expect(isFinalStep(after.steps[earlier]), earlier).toBe(true);
    }
  }
  if (isFinalRun(after.status)) {
    for (const path of Object.keys(definition.steps)) {
      expect(isFinalStep(after.steps[path])).toBe(true);
    }
  }
}

const runs = fc.record({
  steps: bodies(2),
  chances: fc.array(fc.nat(1000), { minLength: 40, maxLength: 40 }),
  cancelAt: fc.option(fc.nat(12)),
});

test('whatever happens in whatever order, a run ends, and its invariants hold at every step', () => {
  fc.assert(
    fc.property(runs, ({ steps, chances, cancelAt }) => {
      const definition = flow(steps);
      let at = 0;
      const draw = (): number => chances[(at += 1) % chances.length]! + at;
      let state: RunState = NEW_RUN;
      let facts: Fact[] = [];
      const said: Fact[] = [];
      const jobs = new Set<string>();
      for (let turn = 0; turn < 2000 && !isFinalRun(state.status); turn += 1) {
        if (turn === cancelAt) facts.push({ kind: 'cancel_requested' });
        const next = advance(definition, state, facts, turn);
        checkRun(definition, state, next.state);
        state = next.state;
        // Some commands are not answered now, and some twice.
        const chosen = next.commands.filter((_, index) => index === 0 || draw() % 3 > 0);
        // What was done may be forgotten with a kill before it is written.
        facts = [...chosen, ...chosen.slice(0, draw() % 2)]
          .map((one) => answerTo(one, draw, definition))
          .filter(() => draw() % 5 > 0);
        for (const { kind, path } of chosen) {
          if (kind === 'submit') jobs.add(path);
          if (kind === 'await' || kind === 'cancel') jobs.delete(path);
        }
        // What was said before is said again.
        said.push(...facts);
        if (said.length > 0) facts.push(said[draw() % said.length]!);
      }
      expect(isFinalRun(state.status)).toBe(true);
      expect(jobs, 'jobs that nobody waited for').toEqual(new Set());
      expect(advance(definition, state, facts, 0)).toEqual({ state, commands: [] });
    }),
  );
});

test('without facts nothing changes, and all that is outstanding is said again', () => {
  fc.assert(
    fc.property(runs, ({ steps, chances }) => {
      const definition = flow(steps);
      let at = 0;
      const draw = (): number => chances[(at += 1) % chances.length]! + at;
      let { state, commands } = advance(definition, NEW_RUN, [], 0);
      for (let turn = 1; turn < 30; turn += 1) {
        const stored = JSON.parse(JSON.stringify(state)) as RunState;
        expect(advance(definition, stored, [], turn)).toEqual({ state, commands });
        const facts = commands.slice(0, 1).map((one) => answerTo(one, draw, definition));
        ({ state, commands } = advance(definition, state, facts, turn));
      }
    }),
    { numRuns: 50 },
  );
});

test('a run kept in memory is the one that is read anew each time, and says only what is new', () => {
  fc.assert(
    fc.property(runs, ({ steps, chances, cancelAt }) => {
      const definition = flow(steps);
      let at = 0;
      const draw = (): number => chances[(at += 1) % chances.length]! + at;
      const kept = new RunProgress(definition, NEW_RUN);
      let stored: RunState = NEW_RUN;
      let facts: Fact[] = [];
      for (let turn = 0; turn < 500 && !isFinalRun(stored.status); turn += 1) {
        if (turn === cancelAt) facts.push({ kind: 'cancel_requested' });
        const { changed } = kept.advance(facts, turn);
        const anew = advance(definition, stored, facts, turn);
        expect(kept.state).toEqual(anew.state);
        for (const [path, state] of Object.entries(anew.state.steps)) {
          expect(changed.has(path)).toBe(state !== stored.steps[path]);
        }
        stored = { status: anew.state.status, steps: { ...anew.state.steps } };
        facts = anew.commands
          .filter(() => draw() % 3 > 0)
          .map((one) => answerTo(one, draw, definition));
      }
    }),
  );
});

test('a chain of ten thousand steps costs ten thousand looks', () => {
  const names = Array.from({ length: 10_000 }, (_, n) => `s${n}`);
  const steps = Object.fromEntries(
    names.map((name, n) => [name, task({ inputs: n === 0 ? [] : from(names[n - 1]!) })]),
  );
  const definition = flow(steps);
  expect(checkWorkflow(definition)).toEqual([]);
  const run = new RunProgress(definition, NEW_RUN);
  let { commands } = run.advance([], 0);
  let turns = 0;
  for (; commands.length > 0; turns += 1) {
    ({ commands } = run.advance([prepared(commands[0]!.path, 1, 1)], turns));
  }
  expect(turns).toBe(10_000);
  expect(run.status).toBe('succeeded');
});

test('the longest way ahead of a step is over the longest of those that need it', () => {
  const predicted = (ms: number, ...names: string[]): TaskStep =>
    task({ predictedMs: ms, inputs: from(...names) });
  const inner = { inputs: {}, outputs: {}, steps: { x: predicted(5), y: predicted(7, 'x') } };
  const definition = flow({
    last: predicted(1, 'short', 'long'),
    short: predicted(10, 'first'),
    long: { after: ['first'], with: {}, successPercentMin: 100, workflow: inner },
    first: predicted(100),
  });
  const ahead = (path: string): number => remainingMs(locate(definition, path)!);
  expect(ahead('first')).toBe(100 + 12 + 1);
  expect(ahead('short')).toBe(11);
  expect(ahead('long')).toBe(13);
  expect(ahead('long.y')).toBe(8);
});

const prepared = (path: string, elementCount: number, reusedCount = 0): Fact => ({
  kind: 'prepared',
  path,
  elementCount,
  reusedCount,
});

test('an empty fan-out has succeeded, and what has all its results needs no job', () => {
  const definition = flow({ a: task(), b: task({ inputs: from('a') }) });
  const first = advance(definition, NEW_RUN, [], 0);
  expect(first.commands).toEqual([{ kind: 'prepare', path: 'a' }]);
  const second = advance(definition, first.state, [prepared('a', 0)], 0);
  expect(second.commands).toEqual([{ kind: 'prepare', path: 'b' }]);
  const third = advance(definition, second.state, [prepared('b', 7, 7)], 0);
  expect(third.state.status).toBe('succeeded');
});

test('the share of success that is needed is met exactly or not at all', () => {
  const outcome = (failedCount: number): string | undefined => {
    const definition = flow({ a: task({ successPercentMin: 95 }) });
    let { state } = advance(definition, NEW_RUN, [], 0);
    const facts: Fact[] = [
      prepared('a', 1000),
      { kind: 'submitted', path: 'a', jobId: 1 },
      { kind: 'ended', path: 'a', failedCount, failed: [] },
    ];
    ({ state } = advance(definition, state, facts, 0));
    return state.steps['a']?.status;
  };
  expect(outcome(50)).toBe('succeeded');
  expect(outcome(51)).toBe('failed');
});

const fan = (edit: Partial<NestedStep> = {}): WorkflowDefinition => {
  const inner = {
    inputs: { molecule: { kind: 'value' } as const },
    steps: { relax: task({ argv: ['{molecule}'] }), rank: task({ inputs: from('relax') }) },
    outputs: { best: 'rank/o' },
  };
  const each = { kind: 'values', values: ['a', 'b', 'c'] } as const;
  return flow({
    all: nested(inner, { each, with: { molecule: '{value}' }, ...edit }),
    gather: task({ inputs: from('all/best') }),
  });
};
/** The fan-out of three, with an answer to each command by its path. */
function playFan(definition: WorkflowDefinition, answers: (path: string) => Fact): RunState {
  let { state, commands } = advance(definition, NEW_RUN, [], 0);
  for (let turn = 1; commands.length > 0 && !isFinalRun(state.status); turn += 1) {
    expect(turn).toBeLessThan(20);
    const facts = commands.map(({ kind, path }): Fact => {
      if (kind === 'submit') return { kind: 'submitted', path, jobId: 7 };
      if (kind !== 'prepare') return { kind: 'ended', path, failedCount: 0, failed: [] };
      if (path !== 'all') return answers(path);
      const elements = ['a', 'b', 'c'].map((value) => ({ value }));
      return { kind: 'prepared', path, elementCount: 3, reusedCount: 0, elements };
    });
    ({ state, commands } = advance(definition, state, facts, turn));
  }
  return state;
}

test('each element of a nested fan-out goes its own way, and what failed is named', () => {
  const answer = (path: string): Fact =>
    path === 'all[1].relax' ? { kind: 'refused', path, reason: 'no room' } : prepared(path, 1);
  const { steps, status } = playFan(fan(), answer);
  expect(status).toBe('failed');
  expect(steps['all']).toMatchObject({
    status: 'failed',
    reason: '1 of 3 did not succeed, 100 % are needed',
    failed: [{ position: 1, label: 'b', reason: 'relax: no room' }],
  });
  expect(steps['all[2].rank']?.status).toBe('succeeded');
  expect(steps['all[1].rank']?.status).toBe('blocked');
  expect(steps['gather']?.status).toBe('blocked');

  const definition = fan({ successPercentMin: 60 });
  const enough = playFan(definition, answer);
  expect(enough.status).toBe('succeeded');
  const source = resolveFiles(rootScope(definition), enough.steps, 'all/best');
  expect(source.kind === 'spread' && source.elements.map(({ position }) => position)).toEqual([
    0, 2,
  ]);
});

test('an element is reused when no task of it was run', () => {
  const { steps } = playFan(fan(), (path) => prepared(path, 1, path.startsWith('all[1]') ? 1 : 0));
  expect(steps['all']).toMatchObject({ status: 'succeeded', elementCount: 3, reusedCount: 1 });
});

test('the fields of an element are for what the nested workflow is given', () => {
  const definition = fan();
  const { steps } = playFan(definition, (path) => prepared(path, 1));
  const { scope } = locate(definition, 'all[2].relax')!;
  expect(resolveValue(scope, steps, 'molecule')).toMatchObject({
    text: '{value}',
    fields: { value: 'c', index: '2', task_count: '3' },
  });
  expect(patternOf(definition, 'all[2].relax')).toBe('all[*].relax');
});

test('a failure blocks what needs it and nothing else', () => {
  const definition = flow({
    bad: task(),
    needs: task({ inputs: from('bad') }),
    other: task(),
  });
  let { state } = advance(definition, NEW_RUN, [], 0);
  ({ state } = advance(definition, state, [{ kind: 'refused', path: 'bad', reason: 'no' }], 0));
  expect(state.steps['needs']).toMatchObject({ status: 'blocked', reason: 'bad: failed' });
  expect(state.status).toBe('running');
  const last = advance(definition, state, [prepared('other', 1, 1)], 0);
  expect(last.state.status).toBe('failed');
});

test('a cancelled step that waits for its job ends without one only when there is none', () => {
  const definition = flow({ a: task(), b: task() });
  let { state } = advance(definition, NEW_RUN, [], 0);
  ({ state } = advance(definition, state, [prepared('a', 2, 0), prepared('b', 1, 0)], 0));
  const cancelled = advance(definition, state, [{ kind: 'cancel_requested' }], 0);
  expect(cancelled.commands.map(({ kind, path }) => `${kind} ${path}`)).toEqual([
    'submit a',
    'submit b',
  ]);
  const facts = [
    { kind: 'withdrawn', path: 'a' },
    { kind: 'submitted', path: 'b', jobId: 3 },
  ] as const;
  ({ state } = advance(definition, cancelled.state, facts, 0));
  expect(state.steps).toMatchObject({
    a: { status: 'cancelled', reason: 'the run was cancelled' },
    b: { status: 'cancelling', jobId: 3 },
  });
});

const template: Template = {
  argv: ['run', '{line}', 'x'],
  env: { A: '{index}' },
  outputs: ['o'],
  tools: { xtb: '6.7' },
  inputs: [{ path: 'p', object: '1' }],
  elementInputs: [{ path: '{line}.in', object: '{fileObject}' }],
  onlyFor: null,
};
const fields = { line: 'l', index: '4', fileObject: '2' };
const keyOf = (one: Template, of = fields): string => keyMaker(one, (text) => `<${text}>`)(of);

test('a key changes with each of its parts, and with nothing else', () => {
  const same = keyOf(template);
  expect(keyOf({ ...template, tools: { xtb: '6.7' }, env: { A: '4' } })).toBe(same);
  expect(keyOf({ ...template, argv: ['run', 'l', 'x'] })).toBe(same);
  expect(keyOf({ ...template, checkpoint: { argv: ['save'], timeMs: 1 } })).toBe(same);
  const others: Partial<Template>[] = [
    { argv: ['run', '{line}', 'y'] },
    { env: { A: '{index}', B: '' } },
    { outputs: ['o', 'p'] },
    { tools: { xtb: '6.8' } },
    { inputs: [{ path: 'p', object: '3' }] },
    { elementInputs: [] },
    { onlyFor: 'run_1 a' },
    { image: 'sha256:1' },
    { image: 'sha256:2' },
    { gang: { nodes: 2, ranksPerNode: 4 } },
    { gang: { nodes: 4, ranksPerNode: 2 } },
    { image: 'sha256:1', gang: { nodes: 4, ranksPerNode: 2 } },
  ];
  const keys = others.map((edit) => keyOf({ ...template, ...edit }));
  expect(new Set([same, ...keys]).size).toBe(keys.length + 1);
  for (const edit of others) {
    const changed = keyParts({ ...template, ...edit }, fields);
    expect(differences(keyParts(template, fields), changed).length).toBeGreaterThan(0);
  }
});

test('a key is made of this text: another would lose every result there is', () => {
  const text = [
    String.raw`"majorana step 1","[[\"xtb\",\"6.7\"]]","<[[\"p\",\"1\"]]>",null`,
    String.raw`["run","l","x"],"[[\"A\",\"4\"]]",["o"],"[[\"l.in\",\"2\"]]"`,
  ].join(',');
  expect(keyOf(template)).toBe(`<[${text}]>`);
  const all = { argv: ['run', 'l', 'x'], env: { A: '4' }, elementInputs: [] };
  const shared = text.replace(String.raw`[[\"l.in\",\"2\"]]`, '[]');
  expect(keyOf({ ...template, ...all })).toBe(`<[${shared}]>`);
  expect(keyOf({ ...template, image: 'i' })).toBe(`<[${text},["image","i"]]>`);
});

test('words cannot be moved between arguments so that a key stays the same', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.array(fc.string()), (a, b) => {
      const [one, two] = [a, b].map((argv) =>
        keyOf({ ...template, argv: ['p', ...argv.map(literal)] }),
      );
      expect(one === two).toBe(JSON.stringify(a) === JSON.stringify(b));
    }),
  );
});

test('the nearest of earlier results is the one with the fewest differences', () => {
  const now = { program: 'a', 'argument 1': '1', 'input x': 'h' };
  const candidates = [
    { id: 1, parts: { program: 'b', 'argument 1': '1', 'input x': 'i' } },
    { id: 2, parts: { program: 'a', 'argument 1': '2', 'input x': 'h' } },
  ];
  expect(nearest(candidates, now)?.id).toBe(2);
  expect(differences(candidates[1]!.parts, now)).toEqual([
    { part: 'argument 1', before: '2', now: '1' },
  ]);
});

test('binding some placeholders and filling the rest is as filling all at once', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      const text = '{{{a}}} {b} {a}{{b}}';
      const bound = bindPlaceholders(text, { a });
      expect(fillPlaceholders(bound, { b })).toBe(fillPlaceholders(text, { a, b }));
    }),
  );
});

test('a text taken apart once is filled as it is each time', () => {
  const piece = fc.constantFrom('{a}', '{b}', '{none}', '{{', '}}', '{', '}', 'x', '{a.b}');
  fc.assert(
    fc.property(fc.array(piece), fc.string(), (pieces, a) => {
      const text = pieces.join('');
      const of = { a, b: '{a}', 'a.b': '}}' };
      expect(placeholderFiller(text)(of)).toBe(fillPlaceholders(text, of));
    }),
  );
});

test('a check names each mistake at its place', () => {
  const wrong = flow(
    {
      a: task({ argv: ['{job}'], inputs: from('b'), when: { kind: 'lines', from: 'b' } }),
      b: task({ inputs: from('a'), each: { kind: 'range', range: '3-1' } }),
      c: task({ inputs: from('a/other', 'text', 'gone'), outputs: [] }),
      d: task({ inputs: from('c') }),
    },
    { inputs: { text: { kind: 'value' } } },
  );
  const told = checkWorkflow(wrong).map(({ path, what }) => `${path.join('.')}: ${what}`);
  expect(told).toEqual([
    expect.stringContaining('steps.a.when: it compares nothing'),
    expect.stringContaining('steps.a.argv.0: {job} at position 0 is not a field'),
    expect.stringContaining('steps.b.each.range: the range ends (1) before it begins (3)'),
    expect.stringContaining('steps.c.inputs.0.from: a has the outputs o, and not other'),
    expect.stringContaining('steps.c.inputs.1.from: text is a value'),
    expect.stringContaining('steps.c.inputs.2.from: there is no input and no step "gone"'),
    expect.stringContaining('steps.d.inputs.0.from: c has no outputs'),
  ]);
  const circle = flow({ a: task({ inputs: from('b') }), b: task({ inputs: from('a') }) });
  expect(checkWorkflow(circle)[0]!.what).toBe('it waits for itself: a -> b -> a');
});

test('conditions compare as numbers where numbers are asked for, and say what they found', () => {
  const lines = { kind: 'lines', from: 'a/b' } as const;
  expect(judge({ ...lines, above: 9 }, 10)).toEqual({
    holds: true,
    why: 'lines of a/b is 10, above 9',
  });
  expect(judge({ ...lines, atLeast: 1, atMost: 3 }, 4).why).toBe(
    'lines of a/b is 4, not at most 3',
  );
  expect(judge({ kind: 'text', from: 'a/b', above: 1 }, 'many').holds).toBe(false);
  expect(judge({ kind: 'text', from: 'a/b', below: 1 }, '').holds).toBe(false);
  expect(readPointer({ a: [{ 'b/c': 3 }] }, '/a/0/b~1c')).toBe(3);
  expect(readPointer({ a: {} }, '/a/toString')).toBe(undefined);
});

test('globs keep within a folder unless they say otherwise', () => {
  expect(matchesPattern('*.txt', 'a.txt')).toBe(true);
  expect(matchesPattern('*.txt', 'a/b.txt')).toBe(false);
  expect(matchesPattern('**/*.txt', 'b.txt')).toBe(true);
  expect(matchesPattern('**/*.txt', 'a/c/b.txt')).toBe(true);
  expect(matchesPattern('a?(x).t', 'ab(x).t')).toBe(true);
});

test('every instance is found by its path', () => {
  const inner = { inputs: {}, steps: { x: task() }, outputs: {} };
  const until = { kind: 'value', value: '1', equals: 1 } as const;
  const definition = flow({
    sub: nested(inner),
    rounds: {
      ...nested(inner),
      workflow: { ...inner, steps: { deep: nested(inner) } },
      repeat: { until, iterationsMax: 9, carry: {} },
    },
  });
  expect(locate(definition, 'sub.x')?.scope.prefix).toBe('sub.');
  expect(locate(definition, 'rounds[7].deep.x')?.scope.prefix).toBe('rounds[7].deep.');
  expect(locate(definition, 'rounds[7].none')).toBeUndefined();
  expect(isNested(locate(definition, 'rounds')!.step)).toBe(true);
  expect(rootScope(definition).prefix).toBe('');
});
