// An authorization server for one test: oidc-provider, on loopback. It prints its
// address, and takes clients by RFC 7591 alone. POST /allow?client_id=… stands for
// the person who allows a client: it answers with a first refresh token.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' }] },
    cookies: { keys: ['of this test'] },
    scopes: ['openid', 'offline_access'],
    rotateRefreshToken: true,
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      registration: { enabled: true, initialAccessToken: false },
      registrationManagement: { enabled: true, rotateRegistrationAccessToken: true },
    },
  });
  provider.use(async (ctx, next) => {
    if (ctx.path !== '/allow') return next();
    const client = await provider.Client.find(ctx.query.client_id);
    const grant = new provider.Grant({ accountId: 'peter', clientId: client.clientId });
    grant.addOIDCScope('openid offline_access');
    const grantId = await grant.save();
    const token = new provider.RefreshToken({
      accountId: 'peter', client, grantId, gty: 'authorization_code', scope: 'openid offline_access', rotations: 0, iiat: Math.floor(Date.now() / 1000),
    });
    ctx.body = { refresh_token: await token.save() };
  });
  server.on('request', provider.callback());
  process.stdout.write(`${issuer}\n`);
});
