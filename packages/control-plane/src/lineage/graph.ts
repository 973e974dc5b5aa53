import { formatAttemptId } from '@majorana/core';
import type {
  LineageDataset,
  LineageEdge,
  LineageGraph,
  LineageNode,
  LineageObject,
  StagedObject,
} from '@majorana/protocol';
import type { ArtifactRecord, Datasets, DatasetVersionRecord } from '@majorana/store';
import { readBlock } from '@majorana/store';
import type { Pool } from 'pg';
import { taskIndexOf } from '../engine/indexes.ts';
import type { LineageSources } from './task-facts.ts';
import { jobFacts, taskFacts } from './task-facts.ts';

/** What a person can still look at, and a program can hold. */
const NODES_MAX = 5000;

export interface GraphLimits {
  readonly depth: number;
  /** Inputs or outputs of one node. */
  readonly width: number;
}

type TaskPlace =
  | {
      readonly kind: 'task';
      readonly jobId: number;
      readonly position: number;
      /** Undefined: the latest. */
      readonly attemptNumber?: number | undefined;
    }
  /** All tasks of a job. */
  | { readonly kind: 'job'; readonly jobId: number };
/** Where a walk stands: expanding it adds what is next to it. */
type Place = { readonly kind: 'object'; readonly object: string } | TaskPlace;
type Sources = LineageSources & { readonly pool: Pool; readonly datasets: Datasets };

export type Root =
  | (Place & {
      /** Of an object: the task that is known to have made it. */
      readonly maker?: Maker;
    })
  | {
      readonly kind: 'dataset';
      readonly name: string;
      readonly version: DatasetVersionRecord;
      readonly files: readonly { readonly path: string; readonly object: string }[];
    };

interface Maker {
  readonly jobId: number;
  readonly position: number;
  readonly attemptNumber?: number | undefined;
  readonly path: string;
  readonly role: LineageEdge['role'];
}

interface Visit {
  readonly place: Place;
  readonly depth: number;
}

/** Walks from files to tasks and on, level by level; every node once. */
export class LineageWalk {
  readonly #sources: Sources;
  readonly #project: string;
  readonly #limits: GraphLimits;
  readonly #nodes = new Map<string, LineageNode>();
  readonly #edges = new Map<string, LineageEdge>();
  readonly #queue: Visit[] = [];
  readonly #inputs = new Map<string, readonly StagedObject[]>();
  readonly #makers = new Map<string, Maker>();
  readonly #idOf = new Map<Place, string>();
  #isCut = false;

  constructor(sources: Sources, project: string, limits: GraphLimits) {
    this.#sources = sources;
    this.#project = project;
    this.#limits = limits;
  }

  async walk(roots: readonly Root[], direction: 'up' | 'down'): Promise<LineageGraph> {
    await this.#sources.lineage.catchUp();
    const ids: string[] = [];
    for (const root of roots) ids.push(await this.#begin(root));
    for (let visit = this.#queue.shift(); visit !== undefined; visit = this.#queue.shift()) {
      if (visit.depth >= this.#limits.depth || this.#nodes.size >= NODES_MAX) {
        this.#isCut = true;
        continue;
      }
      if (direction === 'up') await this.#up(visit);
      else await this.#down(visit);
    }
    return {
      roots: ids,
      direction,
      nodes: [...this.#nodes.values()],
      edges: [...this.#edges.values()],
      isCut: this.#isCut,
    };
  }

  async #begin(root: Root): Promise<string> {
    if (root.kind === 'object') {
      if (root.maker !== undefined) this.#makers.set(root.object, root.maker);
      await this.#addObjects([root.object], 0);
      return root.object;
    }
    if (root.kind !== 'dataset') return (await this.#addTask(root, 0)) ?? '';
    const id = `${root.name}@${root.version.version}`;
    this.#nodes.set(id, this.#datasetNode(id, root.version));
    await this.#addObjects(
      root.files.map(({ object }) => object),
      0,
    );
    for (const { path, object } of root.files) {
      this.#addEdge({ from: object, to: id, path, role: 'held' });
    }
    return id;
  }

  #datasetNode(id: string, version: DatasetVersionRecord): LineageDataset {
    const { user, message, source, createdAtMs, fileCount } = version;
    const isCut = fileCount > this.#limits.width;
    return { kind: 'dataset', id, user, message, source, createdAtMs, fileCount, isCut };
  }

  #addEdge(edge: LineageEdge): void {
    this.#edges.set(`${edge.from} ${edge.to} ${edge.path}`, edge);
  }

  /** Nodes of objects, each with how it is known; those that are new are visited. */
  async #addObjects(objects: readonly string[], depth: number): Promise<void> {
    const fresh = [...new Set(objects)].filter((object) => !this.#nodes.has(object));
    if (fresh.length === 0) return;
    const { lineage } = this.#sources;
    const makers = new Map(
      (await lineage.makers(fresh, this.#project)).map((one) => [one.object, one]),
    );
    for (const [object, maker] of makers) {
      const role = maker.role as LineageEdge['role'];
      if (!this.#makers.has(object)) this.#makers.set(object, { ...maker, role });
    }
    const places = new Map(
      (await lineage.datasets(fresh, this.#project)).map((one) => [one.object, one]),
    );
    for (const object of fresh) {
      const place = places.get(object);
      const node: LineageObject = {
        kind: 'object',
        id: object,
        sizeBytes: makers.get(object)?.sizeBytes ?? place?.sizeBytes ?? null,
        dataset: place === undefined ? null : `${place.name}@${place.version}/${place.path}`,
        makerCount: makers.get(object)?.makerCount ?? 0,
      };
      this.#nodes.set(object, node);
      this.#queue.push({ place: { kind: 'object', object }, depth });
    }
  }

  /** The node's id; undefined when the job is gone or the task never began. */
  async #addTask(place: TaskPlace, depth: number): Promise<string | undefined> {
    const job = await this.#sources.reads.job(place.jobId);
    if (job === undefined || job.spec.project !== this.#project) return undefined;
    if (place.kind === 'job' && job.taskCount > 1) {
      const node = await jobFacts(this.#sources, job);
      return this.#visitTask(node, place, depth);
    }
    const position = place.kind === 'job' ? 0 : place.position;
    const attempts = await this.#sources.reads.attempts(place.jobId, position);
    const wanted = place.kind === 'job' ? undefined : place.attemptNumber;
    const attempt =
      wanted === undefined
        ? attempts.at(-1)
        : attempts.find(({ attemptNumber }) => attemptNumber === wanted);
    if (attempt === undefined) return undefined;
    const { attemptNumber } = attempt;
    const id = formatAttemptId({
      jobId: job.jobId,
      taskIndex: taskIndexOf(job.spec, position),
      attemptNumber,
    });
    if (this.#nodes.has(id)) return id;
    const facts = await taskFacts(this.#sources, job, { position, attempt }, this.#limits.width);
    this.#inputs.set(id, facts.inputs);
    return this.#visitTask(
      facts.node,
      { kind: 'task', jobId: job.jobId, position, attemptNumber },
      depth,
    );
  }

  #visitTask(node: LineageNode, place: Place, depth: number): string {
    if (this.#nodes.has(node.id)) return node.id;
    this.#nodes.set(node.id, node);
    this.#idOf.set(place, node.id);
    this.#queue.push({ place, depth });
    return node.id;
  }

  async #up({ place, depth }: Visit): Promise<void> {
    if (place.kind === 'object') {
      const maker = this.#makers.get(place.object);
      if (maker === undefined) return;
      const { jobId, position, attemptNumber, path } = maker;
      const at = { kind: 'task', jobId, position, attemptNumber } as const;
      const id = await this.#addTask(at, depth + 1);
      if (id !== undefined) this.#addEdge({ from: id, to: place.object, path, role: maker.role });
      return;
    }
    const id = this.#idOf.get(place)!;
    const inputs = this.#inputs.get(id) ?? [];
    // A whole job's inputs are those of its tasks: only a task has them filled.
    await this.#addObjects(
      inputs.map(({ object }) => object),
      depth + 1,
    );
    for (const { path, object } of inputs) {
      this.#addEdge({ from: object, to: id, path, role: 'input' });
    }
  }

  async #down({ place, depth }: Visit): Promise<void> {
    if (place.kind === 'object') await this.#readersOf(place.object, depth);
    else await this.#outputsOf(place, depth);
  }

  async #readersOf(object: string, depth: number): Promise<void> {
    const { lineage } = this.#sources;
    const { width } = this.#limits;
    for (const held of await lineage.holders(object, this.#project, width)) {
      await this.#addHolder(held, object);
    }
    const readers = await lineage.readers(object, this.#project, width);
    for (const { jobId, block } of readers) {
      const places =
        block === null
          ? [{ kind: 'job', jobId } as const]
          : await this.#positionsOf(jobId, block, object);
      for (const one of places) await this.#addReader(one, object, depth);
    }
    const maker = this.#makers.get(object);
    if (maker?.role !== 'output') return;
    for (const jobId of await lineage.jobReaders(maker.jobId, width)) {
      await this.#addReader({ kind: 'job', jobId }, object, depth);
    }
  }

  async #addHolder(
    held: { readonly name: string; readonly version: number; readonly path: string },
    object: string,
  ): Promise<void> {
    const id = `${held.name}@${held.version}`;
    if (!this.#nodes.has(id)) {
      const found = await this.#sources.datasets.find(this.#project, held.name);
      const version =
        found && (await this.#sources.datasets.version(found.datasetId, held.version));
      if (version === undefined) return;
      this.#nodes.set(id, { ...this.#datasetNode(id, version), isCut: true });
    }
    this.#addEdge({ from: object, to: id, path: held.path, role: 'held' });
  }

  async #addReader(place: TaskPlace, object: string, depth: number): Promise<void> {
    const id = await this.#addTask(place, depth + 1);
    if (id === undefined) return;
    const path = this.#inputs.get(id)?.find((one) => one.object === object)?.path ?? '';
    this.#addEdge({ from: object, to: id, path, role: 'input' });
  }

  /** Tasks of a block of records that name an object. */
  async #positionsOf(jobId: number, block: number, object: string): Promise<TaskPlace[]> {
    const job = await this.#sources.reads.job(jobId);
    if (job?.spec.array.kind !== 'parameter_set') return [];
    const { parameterSetId } = job.spec.array;
    const { firstPosition, records } = await readBlock(this.#sources.pool, parameterSetId, block);
    return records.flatMap((record, at) =>
      Object.values(record).includes(object)
        ? [{ kind: 'task', jobId, position: firstPosition + at } as const]
        : [],
    );
  }

  async #outputsOf(place: TaskPlace, depth: number): Promise<void> {
    const id = this.#idOf.get(place)!;
    const { width } = this.#limits;
    const made = await this.#artifactsOf(place, width + 1);
    const node = this.#nodes.get(id);
    if (made.length > width && node?.kind === 'task') this.#nodes.set(id, { ...node, isCut: true });
    const outputs = made.slice(0, width);
    await this.#addObjects(
      outputs.map(({ object }) => object),
      depth + 1,
    );
    for (const { object, path, role } of outputs) {
      this.#addEdge({ from: id, to: object, path, role });
    }
  }

  async #artifactsOf(place: TaskPlace, limit: number): Promise<ArtifactRecord[]> {
    const { reads } = this.#sources;
    if (place.kind === 'job') {
      return reads.artifacts(place.jobId, { position: -1, role: '', path: '' }, limit, 'output');
    }
    const all = await reads.taskArtifacts(place.jobId, place.position);
    return all
      .filter(
        ({ role, attemptNumber }) => role === 'output' && attemptNumber === place.attemptNumber,
      )
      .slice(0, limit);
  }
}
