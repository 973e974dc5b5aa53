import { randomBytes } from 'node:crypto';
import type { MadeToken } from '@majorana/protocol';
import type { Access, AccessStore } from '@majorana/store';
import { hashToken } from './auth.ts';

/** 192 random bits; the prefix lets a secret scanner know it. */
export const newToken = (): string => `mjr_${randomBytes(24).toString('base64url')}`;

/** The one time that its secret is there. */
export async function makeToken(access: AccessStore, of: Access): Promise<MadeToken> {
  const token = newToken();
  return { ...(await access.add(hashToken(token), of)), token };
}
