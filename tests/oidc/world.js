/** What the Rust test beside these scripts has set up: addresses, people, clients. */
if (!process.env.OIDC_WORLD) throw new Error('OIDC_WORLD is missing: these scripts are run by `cargo test -p tests --test oidc`');

export const WORLD = JSON.parse(process.env.OIDC_WORLD);
export const { issuer, person, manager, clients, api } = WORLD;

/** Calls the management API as the operator. */
export async function manage(method, path, body) {
  const response = await fetch(issuer + path, {
    method,
    headers: {
      Authorization: `Bearer ${WORLD.api_key}`,
      'X-API-Secret': WORLD.api_secret,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
  return text === '' ? undefined : JSON.parse(text);
}

/** Looks again and again until there is something to see, and gives up after ten seconds. */
export async function eventually(what, look) {
  const end = Date.now() + 10_000;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`waited ten seconds in vain: ${what}`);
    await new Promise((awake) => setTimeout(awake, 20));
  }
}
