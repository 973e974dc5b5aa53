/** What is wrong with a kubeconfig, and in which file. */
export class KubeconfigError extends Error {
  override name = 'KubeconfigError';
}
