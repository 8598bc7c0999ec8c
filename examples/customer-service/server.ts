/** Starts the app: routes to the handlers of the guide, on Node's HTTP server. */
import './environment.ts';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as webhook from './api/webhooks/optare.ts';
import * as callback from './auth/callback.ts';
import { database } from './database.ts';
import { authMiddleware } from './middleware.ts';
import { verifyWebhook } from './optare-sso-client.ts';
import { dashboard, login, logout } from './pages.ts';
import { redirect } from './redirect.ts';

type Handler = (request: Request) => Promise<Response> | Response;

const ROUTES: Record<string, Record<string, Handler>> = {
  '/': { GET: () => redirect('/dashboard') },
  '/api/webhooks/optare': { POST: signed(webhook.POST) },
  '/auth/callback': { GET: callback.GET },
  '/dashboard': { GET: protect(dashboard) },
  '/login': { GET: login },
  '/logout': { POST: logout },
};

const MAX_BODY_BYTES = 64 * 1024;

function protect(handler: Handler): Handler {
  return async (request) => (await authMiddleware(request)) ?? handler(request);
}

/** The guide's handler believes whoever calls it; with the secret set, only Optare ID gets through to it. */
function signed(handler: Handler): Handler {
  const secret = process.env.OPTARE_WEBHOOK_SECRET;
  if (!secret) return handler;
  return async (request) => {
    try {
      await verifyWebhook({ body: await request.clone().text(), headers: request.headers, secret });
    } catch (error) {
      console.error((error as Error).message);
      return new Response('This webhook is not signed by Optare ID.\n', { status: 401 });
    }
    return handler(request);
  };
}

async function answer(incoming: IncomingMessage): Promise<Response> {
  const url = new URL(incoming.url ?? '/', process.env.APP_URL);
  const methods = ROUTES[url.pathname];
  if (!methods) return new Response('Not found\n', { status: 404 });
  const handler = methods[incoming.method ?? ''];
  if (!handler) {
    return new Response('Method not allowed\n', { status: 405, headers: { Allow: Object.keys(methods).join() } });
  }

  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return new Response('Too large\n', { status: 413, headers: { Connection: 'close' } });
    chunks.push(chunk);
  }
  const headers = new Headers();
  for (const [name, values] of Object.entries(incoming.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  const body = incoming.method === 'GET' ? undefined : Buffer.concat(chunks);
  return handler(new Request(url, { method: incoming.method, headers, body }));
}

async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  let response: Response;
  try {
    response = await answer(incoming);
  } catch (error) {
    console.error(`${incoming.method} ${incoming.url?.split('?')[0]} failed: ${(error as Error).message}`);
    response = new Response('Something went wrong\n', { status: 500 });
  }
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}

const server = createServer((incoming, outgoing) => void serve(incoming, outgoing));

async function stop(): Promise<void> {
  setTimeout(() => server.closeAllConnections(), 2_000);
  if (server.listening) await new Promise((closed) => server.close(closed));
  // Also while starting: a database that is left half made would not open again.
  await (await database).close();
  process.exit(0);
}

process.once('SIGTERM', stop).once('SIGINT', stop);
if (!process.env.OPTARE_WEBHOOK_SECRET) {
  console.error('OPTARE_WEBHOOK_SECRET is not set: webhooks are accepted from anyone');
}
await database;
server.listen(Number(process.env.PORT ?? 3000), () => {
  console.log(`customer-service listening on http://localhost:${(server.address() as AddressInfo).port}`);
});
