// An issuer of tokens: discovery document, keys, and whatever claims a test wants signed. Signs with Node's own
// cryptography, so that what the gateway checks was not made by the library that it checks with. Control is by path.
'use strict'
const http = require('node:http')
const crypto = require('node:crypto')

const kinds = {
  RS256: { make: ['rsa', { modulusLength: 2048 }], sign: (key, data) => crypto.sign('sha256', data, key) },
  PS256: {
    make: ['rsa', { modulusLength: 2048 }],
    sign: (key, data) =>
      crypto.sign('sha256', data, { key, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }),
  },
  ES256: {
    make: ['ec', { namedCurve: 'P-256' }],
    sign: (key, data) => crypto.sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }),
  },
  EdDSA: { make: ['ed25519', {}], sign: (key, data) => crypto.sign(null, data, key) },
}
const keys = new Map()
let published = []
let down = false
let fetched = 0
// What paths answer that a test wants otherwise, one after the other: the last one stays. `asked`: what forms came there.
const canned = new Map()
const asked = []

function add(kid, alg) {
  keys.set(kid, { alg, ...crypto.generateKeyPairSync(...kinds[alg].make) })
  published.push(kid)
}
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
function mint(kid, claims) {
  const { alg, privateKey } = keys.get(kid)
  const signed = `${part({ alg, kid, typ: 'JWT' })}.${part(claims)}`
  return `${signed}.${kinds[alg].sign(privateKey, Buffer.from(signed)).toString('base64url')}`
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, origin())
  const ask = (name) => url.searchParams.get(name)
  const say = (status, body) => response.writeHead(status, { Connection: 'close' }).end(body)
  const page = (body) => (down ? say(503, 'down') : say(200, JSON.stringify(body)))
  const answers = canned.get(url.pathname)
  if (answers) {
    const { status, body, headers, hangs, pad } = answers.length > 1 ? answers.shift() : answers[0]
    let form = ''
    request.on('data', (piece) => (form += piece))
    return request.on('end', () => {
      asked.push({ path: url.pathname, form, authorization: request.headers.authorization ?? null })
      if (!hangs) response.writeHead(status ?? 200, { Connection: 'close', ...headers }).end(body?.replace('PAD', 'A.'.repeat(pad ?? 0)))
    })
  }
  switch (url.pathname) {
    case '/control/answer':
      if (ask('body') === null) canned.delete(ask('path'))
      else if (ask('more')) canned.get(ask('path')).push(JSON.parse(ask('body')))
      else canned.set(ask('path'), [JSON.parse(ask('body'))])
      return say(200, '')
    case '/control/asked':
      return say(200, JSON.stringify(asked.splice(0)))
    case '/.well-known/openid-configuration':
      fetched += 1
      return page({ issuer: origin(), jwks_uri: `${origin()}/jwks` })
    case '/jwks':
      return page({
        keys: published.map((kid) => ({ ...keys.get(kid).publicKey.export({ format: 'jwk' }), kid, use: 'sig' })),
      })
    case '/control/add':
      add(ask('kid'), ask('alg'))
      return say(200, '')
    case '/control/withdraw':
      published = published.filter((kid) => kid !== ask('kid'))
      return say(200, '')
    case '/control/down':
      down = ask('down') === 'yes'
      return say(200, '')
    case '/control/fetched':
      return say(200, String(fetched))
    case '/control/mint':
      return say(200, mint(ask('kid'), { iss: origin(), ...JSON.parse(ask('claims')) }))
    default:
      return say(404, 'no such page')
  }
})
const origin = () => `http://127.0.0.1:${server.address().port}`
for (const alg of Object.keys(kinds)) add(`first-${alg}`, alg)
server.listen(0, '127.0.0.1', () => console.error(`issuer on ${origin()}`))
