// /auth/callback.ts (or route equivalent)
import { OptareSSO, decodeState } from '../optare-sso-client.ts';
import { db } from '../database.ts';
import { redirect } from '../redirect.ts';
import { createSession } from '../session.ts'; // Your session management

const sso = new OptareSSO({
  optareIdUrl: process.env.OPTARE_ID_URL!,
});

export async function GET(request: Request) {
  const url = new URL(request.url);
  const code = url.searchParams.get('code');
  const state = url.searchParams.get('state'); // Contains orgId
  const error = url.searchParams.get('error');

  if (error) {
    return redirect('/login?error=' + error);
  }

  if (!code) {
    return redirect('/login?error=missing_code');
  }

  try {
    // Get stored credentials for this organization
    // The state parameter contains the organization ID
    const orgId = decodeState(state);
    const credentials = await db.oauthCredentials.findUnique({
      where: { organizationId: orgId },
    });

    if (!credentials) {
      throw new Error('No credentials found');
    }

    // Exchange code for tokens
    const tokens = await sso.exchangeCodeForTokens({
      code,
      clientId: credentials.clientId,
      clientSecret: credentials.clientSecret,
      redirectUri: `${process.env.APP_URL}/auth/callback`,
    });

    // Get user info from Optare ID
    const userInfo = await sso.getUserInfo(tokens.access_token);

    // Create or update user in YOUR database
    const user = await db.users.upsert({
      where: { optareUserId: userInfo.sub },
      create: {
        optareUserId: userInfo.sub,
        email: userInfo.email,
        name: userInfo.name,
        organizationId: userInfo.organization_id,
        role: userInfo.role,
      },
      update: {
        email: userInfo.email,
        name: userInfo.name,
        role: userInfo.role,
      },
    });

    // Create session in YOUR app
    const session = await createSession({
      userId: user.id,
      accessToken: tokens.access_token,
      refreshToken: tokens.refresh_token,
      expiresAt: new Date(Date.now() + tokens.expires_in * 1000),
    });

    // Set session cookie and redirect
    const response = redirect('/dashboard');
    response.headers.set('Set-Cookie', `session=${session.id}; HttpOnly; Secure; Path=/`);
    return response;
  } catch (err) {
    console.error('OAuth callback error:', err);
    return redirect('/login?error=auth_failed');
  }
}
