const DEFAULT_REGISTRY = 'docker.io';

/** `name[:tag][@digest]`; a port's colon stands before a slash. */
const PARTS = /^([^@]*?)(:[^:/@]+)?(@.+)?$/s;

/** Before the first slash stands a registry if it looks like an address. */
function inFull(name: string): string {
  const first = name.split('/', 1)[0]!;
  const isRegistry = name.includes('/') && /[.:]|^localhost$/.test(first);
  const registry = isRegistry
    ? first.replace(/^index\.docker\.io$/, DEFAULT_REGISTRY)
    : DEFAULT_REGISTRY;
  const rest = isRegistry ? name.slice(first.length + 1) : name;
  const isOfficial = registry === DEFAULT_REGISTRY && !rest.includes('/');
  return `${registry}/${isOfficial ? 'library/' : ''}${rest}`;
}

/**
 * The one name of an image, as nodes list it: `busybox` is `docker.io/library/busybox:latest`. With a
 * digest the tag says nothing.
 */
export function fullImageName(image: string): string {
  const [, name = '', tag = ':latest', digest] = PARTS.exec(image) ?? [];
  return inFull(name) + (digest ?? tag);
}
