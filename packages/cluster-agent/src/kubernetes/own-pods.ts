import { parseAttemptId } from '@majorana/core';
import type { Lease } from '@majorana/protocol';
import type { ApiServer } from './api-server.ts';
import { ApiServerError } from './api-server.ts';
import { attemptOfMember } from './gang-member.ts';
import type { KubernetesEvent, Pod } from './objects.ts';
import type { PodOptions } from './pod.ts';
import { AGENT_LABEL, attemptOf, leaseOf, makePod, podName, tokenOf } from './pod.ts';
import type { StartWord } from './start-words.ts';
import { lastWord } from './start-words.ts';

/** The pods of one agent at the API server, each by the name that its attempt gives it. */
export class OwnPods {
  readonly #api: ApiServer;
  readonly #options: PodOptions;

  constructor(api: ApiServer, options: PodOptions) {
    this.#api = api;
    this.#options = options;
  }

  isOwn(pod: Pod): boolean {
    const { agentId, namespace } = this.#options;
    const { metadata } = pod;
    if (metadata.namespace !== namespace || metadata.labels?.[AGENT_LABEL] !== agentId)
      return false;
    // Somebody's copy of a pod of ours has another name, or a label and no attempt.
    const id = attemptOf(pod);
    return parseAttemptId(attemptOfMember(id)) !== undefined && podName(id) === metadata.name;
  }

  /** Whoever may make pods here can copy a label and a name, but not a token that he has not seen. */
  isFor(pod: Pod, { runnerToken }: Lease): boolean {
    return runnerToken === undefined || tokenOf(pod) === runnerToken;
  }

  key(attemptId: string): string {
    return `${this.#options.namespace}/${podName(attemptId)}`;
  }

  leaseOf(pod: Pod): Lease {
    return leaseOf(pod, this.#options);
  }

  create(lease: Lease, nodeName: string): Promise<Pod> {
    return this.#api.request<Pod>('POST', this.#path(), makePod(lease, nodeName, this.#options));
  }

  read(attemptId: string): Promise<Pod> {
    return this.#api.request<Pod>('GET', this.#path(attemptId));
  }

  /**
   * A grace of 0 takes it from the API server at once: for what has ended. Resolves to false when it
   * was not there.
   */
  async delete(attemptId: string, graceSeconds: 0 | undefined): Promise<boolean> {
    const query = graceSeconds === undefined ? '' : `?gracePeriodSeconds=${graceSeconds}`;
    try {
      await this.#api.delete(this.#path(attemptId) + query);
      return true;
    } catch (error) {
      if (error instanceof ApiServerError && error.status === 404) return false;
      throw error;
    }
  }

  /** The kubelet's last word on a start. */
  async readStartWord({ metadata }: Pod): Promise<StartWord | undefined> {
    const field = encodeURIComponent(`involvedObject.uid=${metadata.uid}`);
    const path = `/api/v1/namespaces/${this.#options.namespace}/events?fieldSelector=${field}`;
    const { items } = await this.#api.request<{ items: KubernetesEvent[] }>('GET', path);
    return lastWord(items);
  }

  #path(attemptId?: string): string {
    const pods = `/api/v1/namespaces/${this.#options.namespace}/pods`;
    return attemptId === undefined ? pods : `${pods}/${podName(attemptId)}`;
  }
}
