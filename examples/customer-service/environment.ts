/** Stops a start without the two names of the guide. To be imported first: the handlers read them when loaded. */
for (const name of ['OPTARE_ID_URL', 'APP_URL']) {
  if (!process.env[name]) {
    console.error(`customer-service needs ${name} in its environment`);
    process.exit(1);
  }
}
