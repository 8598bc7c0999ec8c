/** The app's database: PostgreSQL in this process (PGlite), kept in the folder `DATA_DIR`. */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { PGlite, types } from '@electric-sql/pglite';

/** As the guide has them. */
const TABLES = `
-- Store OAuth credentials from Optare ID
CREATE TABLE oauth_credentials (
  id TEXT PRIMARY KEY,
  organization_id TEXT UNIQUE NOT NULL,
  client_id TEXT NOT NULL,
  client_secret TEXT NOT NULL, -- Encrypt this!
  created_at TIMESTAMP DEFAULT NOW()
);

-- Store users synced from Optare ID
CREATE TABLE users (
  id TEXT PRIMARY KEY,
  optare_user_id TEXT UNIQUE NOT NULL, -- User ID from Optare
  email TEXT NOT NULL,
  name TEXT,
  organization_id TEXT NOT NULL,
  role TEXT,
  created_at TIMESTAMP DEFAULT NOW(),
  updated_at TIMESTAMP DEFAULT NOW()
);

-- Store sessions
CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  user_id TEXT REFERENCES users(id),
  access_token TEXT NOT NULL,
  refresh_token TEXT,
  expires_at TIMESTAMP NOT NULL,
  created_at TIMESTAMP DEFAULT NOW()
);
`;

/** Resolves when the tables are there. */
export const database = open(process.env.DATA_DIR ?? './data');

async function open(folder: string): Promise<PGlite> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const postgres = await PGlite.create({
    dataDir: folder,
    // The column has no zone and PGlite works in UTC; left alone, it reads the value as local time.
    parsers: { [types.TIMESTAMP]: (value) => new Date(`${value}Z`) },
  });
  const { rows } = await postgres.query(`SELECT FROM pg_tables WHERE tablename = 'oauth_credentials'`);
  if (rows.length === 0) await postgres.transaction((tx) => tx.exec(TABLES));
  return postgres;
}

export async function query<Row>(statement: string, values: unknown[]): Promise<Row[]> {
  const postgres = await database;
  try {
    return (await postgres.query<Row>(statement, values)).rows;
  } catch (error) {
    // The original carries all values, and a log would show the secrets among them.
    throw new Error((error as Error).message);
  }
}

export interface Credentials {
  organizationId: string;
  clientId: string;
  clientSecret: string;
}

export interface User {
  id: string;
  email: string;
  name: string | null;
  organizationId: string;
  role: string | null;
}

export const db = {
  oauthCredentials: {
    /** Fails if the organization has credentials: then the webhook is not acknowledged and comes again. */
    async create({ data }: { data: Credentials & { createdAt: Date } }): Promise<void> {
      await query(
        `INSERT INTO oauth_credentials (id, organization_id, client_id, client_secret, created_at)
         VALUES ($1, $2, $3, $4, $5)`,
        [randomUUID(), data.organizationId, data.clientId, data.clientSecret, data.createdAt],
      );
    },

    /** Deleting what is gone is no error: a repeated webhook would else fail until it is given up. */
    async delete({ where }: { where: { organizationId: string } }): Promise<void> {
      await query(`DELETE FROM oauth_credentials WHERE organization_id = $1`, [where.organizationId]);
    },

    async findUnique({ where }: { where: { organizationId: string } }): Promise<Credentials | null> {
      const [credentials] = await query<Credentials>(
        `SELECT organization_id AS "organizationId", client_id AS "clientId", client_secret AS "clientSecret"
         FROM oauth_credentials WHERE organization_id = $1`,
        [where.organizationId],
      );
      return credentials ?? null;
    },
  },

  users: {
    async upsert({ where, create, update }: {
      where: { optareUserId: string };
      create: { optareUserId: string; email: string; name: string; organizationId: string; role: string };
      update: { email: string; name: string; role: string };
    }): Promise<{ id: string }> {
      const [user] = await query<{ id: string }>(
        `INSERT INTO users (id, optare_user_id, email, name, organization_id, role) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (optare_user_id) DO UPDATE SET email = $7, name = $8, role = $9, updated_at = NOW()
         RETURNING id`,
        [
          ...[randomUUID(), where.optareUserId, create.email, create.name, create.organizationId, create.role],
          ...[update.email, update.name, update.role],
        ],
      );
      return user!;
    },

    async findUnique({ where }: { where: { id: string } }): Promise<User | null> {
      const [user] = await query<User>(
        `SELECT id, email, name, organization_id AS "organizationId", role FROM users WHERE id = $1`,
        [where.id],
      );
      return user ?? null;
    },
  },
};
