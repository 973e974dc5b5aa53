import { readFile } from 'node:fs/promises';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { KubernetesObject } from './kubernetes-api.ts';
import type { TestKubernetes } from './kubernetes.ts';

const CONFIGURATIONS = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const NAME = 'pods.majorana.test';

/** An operation of JSON patch. */
export interface PatchStep {
  readonly op: 'add' | 'replace' | 'remove';
  readonly path: string;
  readonly value?: unknown;
}

export type PodVerdict =
  | { readonly patch: readonly PatchStep[] }
  | { readonly denied: string; readonly code?: number };

interface Review {
  readonly request: { readonly uid: string; readonly object: KubernetesObject };
}

function answerTo(uid: string, verdict: PodVerdict): object {
  const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' };
  if ('denied' in verdict) {
    const { denied: message, code } = verdict;
    const status = { message, ...(code !== undefined && { code }) };
    return { ...review, response: { uid, allowed: false, status } };
  }
  const patch = Buffer.from(JSON.stringify(verdict.patch)).toString('base64');
  return { ...review, response: { uid, allowed: true, patchType: 'JSONPatch', patch } };
}

/** Looks at each pod that is created, as a service mesh or a policy engine does. */
export class PodWebhook implements AsyncDisposable {
  verdict: PodVerdict = { patch: [] };
  /** What is done before a pod is let in. */
  before: (pod: KubernetesObject) => Promise<void> = () => Promise.resolve();
  readonly #kubernetes: TestKubernetes;
  readonly #server: https.Server;

  private constructor(kubernetes: TestKubernetes, server: https.Server) {
    this.#kubernetes = kubernetes;
    this.#server = server;
  }

  static async start(kubernetes: TestKubernetes): Promise<PodWebhook> {
    const serving = await kubernetes.authority.issue({
      name: 'pod-webhook',
      subject: '/CN=pod-webhook',
      alternativeNames: ['IP:127.0.0.1'],
    });
    const [cert, key, ca] = await Promise.all(
      [serving.certificatePath, serving.keyPath, kubernetes.authority.certificatePath].map((file) =>
        readFile(file),
      ),
    );
    const server = https.createServer({ cert, key }, (request, response) => {
      void json(request).then(async (review) => {
        const { uid, object } = (review as Review).request;
        await webhook.before(object);
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(answerTo(uid, webhook.verdict)));
      });
    });
    const webhook = new PodWebhook(kubernetes, server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    await kubernetes.admin.create(CONFIGURATIONS, {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: NAME },
      webhooks: [
        {
          name: NAME,
          clientConfig: { url, caBundle: ca!.toString('base64') },
          rules: [
            { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] },
          ],
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          failurePolicy: 'Fail',
        },
      ],
    });
    return webhook;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kubernetes.admin.delete(`${CONFIGURATIONS}/${NAME}`);
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
