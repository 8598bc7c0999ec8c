// /api/webhooks/optare.ts (or route equivalent)
import { OptareSSO } from '../../optare-sso-client.ts';
import { db } from '../../database.ts'; // Your app's database

const sso = new OptareSSO({
  optareIdUrl: process.env.OPTARE_ID_URL!,
});

export async function POST(request: Request) {
  const body = await request.json();
  const { event, organizationId, clientId, clientSecret } = body;

  if (event === 'app.installed') {
    // Store credentials in YOUR database
    await db.oauthCredentials.create({
      data: {
        organizationId,
        clientId,
        clientSecret, // Encrypt this!
        createdAt: new Date(),
      },
    });

    console.log(`✅ App installed for org: ${organizationId}`);
    return Response.json({ received: true });
  }

  if (event === 'app.uninstalled') {
    // Remove credentials
    await db.oauthCredentials.delete({
      where: { organizationId },
    });

    console.log(`🗑️ App uninstalled for org: ${organizationId}`);
    return Response.json({ received: true });
  }

  return Response.json({ received: true });
}
