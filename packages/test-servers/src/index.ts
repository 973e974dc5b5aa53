export * from './audit-log.ts';
export * from './kubernetes.ts';
export * from './kubernetes-api.ts';
export * from './kwok.ts';
export * from './programs.ts';
export * from './kubeconfig.ts';
export * from './service-account.ts';
