// An OpenID provider in memory, by oidc-provider: it lets anybody in by name, and gives the roles of `people`.
import { generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import Provider from 'oidc-provider';

const { port, clients, people, inIdToken } = JSON.parse(process.argv[2]);
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  jwks: { keys: [key] },
  cookies: { keys: ['of the tests'] },
  pkce: { required: () => true },
  claims: { openid: ['sub'], profile: ['preferred_username', 'roles'] },
  conformIdTokenClaims: !inIdToken, // else these claims come by the userinfo endpoint alone
  findAccount: (_context, sub) => ({
    accountId: sub,
    claims: () => ({ sub, preferred_username: sub, roles: people[sub] ?? [] }),
  }),
});
http.createServer(provider.callback()).listen(port, '127.0.0.1', () => console.log(port));
