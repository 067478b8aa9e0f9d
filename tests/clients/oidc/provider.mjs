// A real OpenID provider (oidc-provider from npm), with its own login and consent pages: people sign in with any password, and are
// in the groups that their name says. Clients: `gateway` with a secret, for both flows; `device` without one.
// usage: node provider.mjs MODULES      control is by path
import crypto from 'node:crypto'
import http from 'node:http'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [modules] = process.argv.slice(2)
let redirect = 'http://127.0.0.1:1/callback'
const { Provider } = await import(pathToFileURL(path.join(modules, 'oidc-provider', 'lib', 'index.js')).href)

const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code'
let keys = 0
function key() {
  const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { ...privateKey.export({ format: 'jwk' }), kid: `key-${++keys}`, alg: 'ES256', use: 'sig' }
}
const groups = { ada: ['dba', 'approvers'], grace: ['guests'] }

function provider() {
  const made = new Provider(origin(), {
    clients: [
      {
        client_id: 'gateway', client_secret: 'the-secret+/of the gateway', id_token_signed_response_alg: 'ES256',
        grant_types: ['authorization_code', DEVICE], response_types: ['code'],
        redirect_uris: [redirect],
      },
      {
        client_id: 'device', token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'ES256',
        grant_types: [DEVICE], response_types: [], redirect_uris: [], application_type: 'native',
      },
    ],
    jwks: { keys: [key()] },
    cookies: { keys: ['for tests'] },
    features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true } },
    claims: { openid: ['sub'], profile: ['name', 'groups'], email: ['email', 'email_verified'] },
    // Groups stand in the identity token.
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    ttl: { IdToken: 300, DeviceCode: 300 },
    async findAccount(_, id) {
      const claims = { sub: id, name: id, groups: groups[id] ?? [], email: `${id}@corp.example`, email_verified: true }
      return { accountId: id, claims: async () => claims }
    },
  })
  made.on('server_error', (_, error) => console.error('provider failed:', error))
  return made.callback()
}

let serve
const server = http.createServer((request, response) => {
  // Each has a key of its own.
  if (request.url.startsWith('/control/anew')) {
    redirect = new URL(request.url, origin()).searchParams.get('redirect') ?? redirect
    serve = provider()
    return response.writeHead(200, { Connection: 'close' }).end()
  }
  return serve(request, response)
})
const origin = () => `http://127.0.0.1:${server.address().port}`
server.listen(0, '127.0.0.1', () => {
  serve = provider()
  console.error(`provider on ${origin()}`)
})
