// The released client, driven line by line: `node client.mjs SECRET_HEX HOST` reads a JSON object a line, does what it says
// with the unmodified client, and prints what came of it; what is told live it prints as it comes.
import { createInterface } from 'node:readline'
import { MessageBoxClient } from '@bsv/message-box-client'
import { AuthFetch, PrivateKey, ProtoWallet, Transaction } from '@bsv/sdk'

const say = (it) => process.stdout.write(JSON.stringify(it) + '\n')
// The client writes to the console as it pleases.
console.log = console.info = console.warn = console.error

const [secret, host] = process.argv.slice(2)
// For messages to several the client asks its wallet for a payment, of nothing to nobody where delivery is free. A wallet of
// keys alone has no transactions: it gives one without outputs.
class Wallet extends ProtoWallet {
  async createAction ({ outputs }) {
    if (outputs.length > 0) throw new Error('there is nothing to pay with')
    return { tx: new Transaction().toBinary() }
  }
}
const walletClient = new Wallet(PrivateKey.fromString(secret, 'hex'))
const client = new MessageBoxClient({ host, walletClient })
const plain = new AuthFetch(walletClient)

const does = {
  identity: async () => await client.getIdentityKey(),
  send: async ({ recipient, messageBox, body, messageId, checkPermissions, skipEncryption }) =>
    await client.sendMessage({ recipient, messageBox, body, messageId, checkPermissions, skipEncryption }, host),
  // Its name is the client's.
  sendMany: async ({ recipients, messageBox, body }) =>
    await client.sendMesagetoRecepients({ recipients, messageBox, body }, host),
  sendLive: async ({ recipient, messageBox, body, messageId }) =>
    await client.sendLiveMessage({ recipient, messageBox, body, messageId }, host),
  list: async ({ messageBox }) => await client.listMessages({ messageBox, host }),
  ack: async ({ messageIds }) => await client.acknowledgeMessage({ messageIds, host }),
  listen: async ({ messageBox }) => await client.listenForLiveMessages({
    messageBox,
    overrideHost: host,
    onMessage: (live) => say({ live })
  }),
  quote: async ({ recipient, messageBox }) => await client.getMessageBoxQuote({ recipient, messageBox }, host),
  permission: async ({ recipient, messageBox }) => await client.getMessageBoxPermission({ recipient, messageBox }, host),
  permissions: async () => await client.listMessageBoxPermissions({}, host),
  devices: async () => await client.listRegisteredDevices(host),
  register: async () => await client.registerDevice({ fcmToken: 'token', platform: 'web', deviceId: 'd' }, host),
  allowPeer: async ({ sender }) => await client.allowNotificationsFromPeer(sender, 0, host),
  denyPeer: async ({ sender }) => await client.denyNotificationsFromPeer(sender, host),
  peer: async ({ sender }) => await client.checkPeerNotificationStatus(sender, host),
  // What the client keeps to itself: the status and the words of a refusal, and whether it is signed.
  post: async ({ path, body }) => {
    const response = await plain.fetch(host + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body)
    })
    return { status: response.status, body: await response.json() }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line)
  try {
    say({ done: await does[asked.do](asked) ?? null })
  } catch (error) {
    say({ failed: String(error) })
  }
}
process.exit(0)
