// Makes node/tests/messagebox/vectors.json with the released SDK: `npm ci && node vectors.mjs > vectors.json`.
import { AuthFetch, KeyDeriver, PrivateKey, ProtoWallet, Utils } from '@bsv/sdk'

const protocol = [2, 'auth message signature']
const secrets = ['01'.repeat(32), 'a7'.repeat(32), '00'.repeat(31) + '05']
const derivations = []
const signatures = []
for (const own of secrets) {
  for (const other of secrets) {
    const secret = PrivateKey.fromString(own, 'hex')
    const deriver = new KeyDeriver(secret)
    const counterparty = PrivateKey.fromString(other, 'hex').toPublicKey().toString()
    for (const keyId of ['x', 'bm9uY2U= c2VydmVy', 'é 2']) {
      derivations.push({
        own,
        identity: deriver.identityKey,
        counterparty,
        keyId,
        privateKey: deriver.derivePrivateKey(protocol, keyId, counterparty).toHex().padStart(64, '0'),
        publicKey: deriver.derivePublicKey(protocol, keyId, counterparty).toString()
      })
      const data = Utils.toArray('data of ' + keyId, 'utf8')
      const wallet = new ProtoWallet(secret)
      const { signature } = await wallet.createSignature({ data, protocolID: protocol, keyID: keyId, counterparty })
      signatures.push({ signer: deriver.identityKey, verifier: other, keyId, data: Utils.toHex(data), signature: Utils.toHex(signature) })
    }
  }
}

const client = new AuthFetch(new ProtoWallet(PrivateKey.fromString(secrets[0], 'hex')))
const asked = [
  ['POST', 'http://h/sendMessage', { 'Content-Type': 'application/json; charset=utf-8' }, JSON.stringify({ a: 'é' })],
  ['GET', 'http://h/permissions/quote?recipient=02ab&messageBox=a%20b', {}, undefined],
  ['POST', 'http://h/x', { 'Content-Type': 'application/json', 'X-BSV-Topic': 'b', 'x-bsv-a': 'A b', authorization: 'B c' }, undefined],
  ['GET', 'http://h', {}, undefined],
  ['POST', 'http://h/long', { 'Content-Type': 'text/plain' }, 'y'.repeat(300)]
]
const requests = []
for (const [method, address, headers, body] of asked) {
  const url = new URL(address)
  const writer = await client.serializeRequest(method, headers, body, url, Array(32).fill(7))
  requests.push({
    method,
    path: url.pathname,
    query: url.search,
    headers,
    body: body ?? (method === 'POST' ? '{}' : ''),
    payload: Utils.toHex(writer.toArray())
  })
}
console.log(JSON.stringify({ derivations, signatures, requests }, null, 1))
