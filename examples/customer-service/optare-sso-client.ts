// Your app has a copy of the file here (step 1 of the guide); this repository keeps one copy of it.
export * from '../../libs/apps/src/optare-sso-client.ts';
