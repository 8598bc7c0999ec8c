/** Sessions of signed-in users; the cookie `session` holds the id. */
import { randomBytes } from 'node:crypto';
import { query } from './database.ts';

export interface Session {
  id: string;
  userId: string;
  /** Of the user, whose organization's credentials refresh the token. */
  organizationId: string;
  accessToken: string;
  refreshToken: string | null;
  expiresAt: Date;
}

interface SessionTokens {
  accessToken: string;
  refreshToken?: string | undefined;
  expiresAt: Date;
}

export async function createSession(session: SessionTokens & { userId: string }): Promise<{ id: string }> {
  const id = randomBytes(32).toString('base64url');
  await query(
    `INSERT INTO sessions (id, user_id, access_token, refresh_token, expires_at) VALUES ($1, $2, $3, $4, $5)`,
    [id, session.userId, session.accessToken, session.refreshToken, session.expiresAt],
  );
  return { id };
}

export async function getSession(request: Request): Promise<Session | null> {
  const id = request.headers.get('Cookie')?.match(/(?:^|;\s*)session=([\w-]+)/)?.[1];
  if (!id) return null;
  const [session] = await query<Session>(
    `SELECT sessions.id, user_id AS "userId", organization_id AS "organizationId",
            access_token AS "accessToken", refresh_token AS "refreshToken", expires_at AS "expiresAt"
     FROM sessions JOIN users ON users.id = user_id WHERE sessions.id = $1`,
    [id],
  );
  return session ?? null;
}

export async function updateSession(id: string, tokens: SessionTokens): Promise<void> {
  await query(
    // An answer without a refresh token means that the old one stays in use (RFC 6749 §6).
    `UPDATE sessions SET access_token = $2, refresh_token = COALESCE($3, refresh_token), expires_at = $4 WHERE id = $1`,
    [id, tokens.accessToken, tokens.refreshToken, tokens.expiresAt],
  );
}

export async function deleteSession(id: string): Promise<void> {
  await query(`DELETE FROM sessions WHERE id = $1`, [id]);
}
