/**
 * What the guide calls `Response.redirect`. That one takes no relative URL outside of a browser,
 * and its headers are immutable, so that the session cookie could not be set.
 */
export function redirect(location: string): Response {
  const { href } = new URL(location, process.env.APP_URL);
  return new Response(null, { status: 302, headers: { Location: href } });
}
