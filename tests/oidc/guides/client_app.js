/** The client app of the guide "OAuth for your programs": where it sends the browser, and its callback. */
import axios from 'axios';

export function authorizationUrl({ issuer, clientId, redirectUri, scope, state, challenge }) {
  const authUrl = new URL(`${issuer}/oauth/authorize`);
  authUrl.searchParams.set('client_id', clientId);
  authUrl.searchParams.set('redirect_uri', redirectUri);
  authUrl.searchParams.set('response_type', 'code');
  authUrl.searchParams.set('scope', scope);
  authUrl.searchParams.set('state', state);
  if (challenge) {
    authUrl.searchParams.set('code_challenge', challenge);
    authUrl.searchParams.set('code_challenge_method', 'S256');
  }
  return authUrl.toString();
}

/** What the route `/callback` does with its query. axios sends the object as JSON. */
export async function callback({ issuer, clientId, clientSecret, redirectUri, query, storedState }) {
  const { code, state } = query;
  if (state !== storedState) throw new Error('Invalid state');
  const response = await axios.post(`${issuer}/oauth/token`, {
    grant_type: 'authorization_code',
    code,
    client_id: clientId,
    client_secret: clientSecret,
    redirect_uri: redirectUri,
  });
  const { access_token, refresh_token } = response.data;
  const userInfo = await axios.get(`${issuer}/oauth/userinfo`, {
    headers: { Authorization: `Bearer ${access_token}` },
  });
  return { tokens: response.data, refresh_token, user: userInfo.data };
}
