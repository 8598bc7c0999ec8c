// middleware.ts (or equivalent)
import { getSession, updateSession } from './session.ts';
import { OptareSSO } from './optare-sso-client.ts';
import { db } from './database.ts';
import { redirect } from './redirect.ts';

const sso = new OptareSSO({
  optareIdUrl: process.env.OPTARE_ID_URL!,
});

export async function authMiddleware(request: Request) {
  const session = await getSession(request);

  if (!session) {
    // No session - redirect to Optare ID login
    // The user will be redirected back after login
    return redirect('/login');
  }

  // Check if token is expired
  if (session.expiresAt < new Date()) {
    // Refresh the token
    try {
      const credentials = await db.oauthCredentials.findUnique({
        where: { organizationId: session.organizationId },
      });

      const newTokens = await sso.refreshToken({
        refreshToken: session.refreshToken!,
        clientId: credentials!.clientId,
        clientSecret: credentials!.clientSecret,
      });

      // Update session with new tokens
      await updateSession(session.id, {
        accessToken: newTokens.access_token,
        refreshToken: newTokens.refresh_token,
        expiresAt: new Date(Date.now() + newTokens.expires_in * 1000),
      });
    } catch (err) {
      // Refresh failed - redirect to login
      return redirect('/login');
    }
  }

  // Session is valid - continue
  return null;
}
