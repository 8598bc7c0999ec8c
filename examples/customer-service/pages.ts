/** The pages of the app: sign-in, dashboard, and the way out. */
import { db } from './database.ts';
import { redirect } from './redirect.ts';
import { deleteSession, getSession } from './session.ts';

const MESSAGES: Record<string, string> = {
  access_denied: 'You have no access to Customer Service.',
  auth_failed: 'Signing in did not work. Please try again.',
  missing_code: 'Signing in did not work. Please try again.',
  unknown_organization: 'Customer Service is not installed for this organization.',
};

/** Starts signing in if it knows the organization, else asks for it. */
export async function login(request: Request): Promise<Response> {
  const { searchParams } = new URL(request.url);
  const organizationId = searchParams.get('organization')?.trim();
  if (organizationId) return startLogin(organizationId);

  const error = searchParams.get('error');
  const message = error && (MESSAGES[error] ?? `Signing in did not work (${error}).`);
  return page(
    'Sign in',
    `${message ? `<p role="alert">${escape(message)}</p>` : ''}
    <p>Open Customer Service from <a href="${escape(process.env.OPTARE_ID_URL!)}">your apps in Optare ID</a>, or:</p>
    <form action="/login">
      <label>Organization ID <input name="organization" required placeholder="org_…"></label>
      <button>Sign in with Optare ID</button>
    </form>`,
  );
}

/** Sends the browser where "Open App" in Optare ID sends it. */
async function startLogin(organizationId: string): Promise<Response> {
  const credentials = await db.oauthCredentials.findUnique({ where: { organizationId } });
  if (!credentials) return redirect('/login?error=unknown_organization');
  const parameters = new URLSearchParams({
    client_id: credentials.clientId,
    redirect_uri: `${process.env.APP_URL}/auth/callback`,
    response_type: 'code',
    scope: 'openid profile email organization',
    state: organizationId,
  });
  return redirect(`${process.env.OPTARE_ID_URL!.replace(/\/+$/, '')}/oauth/authorize?${parameters}`);
}

export async function logout(request: Request): Promise<Response> {
  const session = await getSession(request);
  if (session) await deleteSession(session.id);
  const response = redirect('/login');
  response.headers.set('Set-Cookie', 'session=; HttpOnly; Secure; Path=/; Max-Age=0');
  return response;
}

/** For requests that `authMiddleware` has let through. */
export async function dashboard(request: Request): Promise<Response> {
  const session = await getSession(request);
  const user = session && (await db.users.findUnique({ where: { id: session.userId } }));
  if (!user) return redirect('/login');
  return page(
    'Dashboard',
    `<dl>
      <dt>Name</dt><dd id="name">${escape(user.name ?? '')}</dd>
      <dt>E-mail</dt><dd id="email">${escape(user.email)}</dd>
      <dt>Organization</dt><dd id="organization">${escape(user.organizationId)}</dd>
      <dt>Role</dt><dd id="role">${escape(user.role ?? '')}</dd>
    </dl>
    <form action="/logout" method="post"><button>Sign out</button></form>`,
  );
}

function page(title: string, content: string): Response {
  const html = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>${title} – Customer Service</title>
  </head>
  <body>
    <h1>${title}</h1>
    ${content}
  </body>
</html>
`;
  const headers = { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' };
  return new Response(html, { headers });
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
