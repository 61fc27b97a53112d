// A person at a whiteboard, for tests: the real Yjs with its real provider, driven by lines.
//
//     CONVOKE_TEST_YJS=folder-with-node_modules node client.mjs SERVER_URL BOARD TOKEN [NAME]
//
// The provider connects at once. Each line of standard input is a command, a JSON object with "do"; each
// line of standard output is what happened, a JSON object with "event". A command may carry "id", which its
// answer repeats.
//
//     {"do": "set", "element": {"id": ..., ...}}       says "done": it is in this document
//     {"do": "set_many", "elements": [...]}            the same, in one transaction: one update
//     {"do": "delete", "element": id}                  says "done"
//     {"do": "awareness", "state": {...}}              says "done"
//     {"do": "report"}                                 says "report": elements, by key; vector; deleted; synced
//     {"do": "wait", "element": id}                    says "present" once it is there
//       ... "where": {...}                             and once it has these values
//     {"do": "wait_gone", "element": id}               says "gone" once it is not there
//     {"do": "disconnect"} | {"do": "connect"}         says "done"; what follows is told by events
//     {"do": "token", "token": ...}                    says "done"; the next connection is made with it
//       ... "server": ...                              and to this server
//     {"do": "undo"} | {"do": "redo"}                  says "done"; of what was drawn here, the last
//     {"do": "quit"}                                   the end of the input is the same
//
// By itself it says "status" (connected, connecting, disconnected), "synced" (is), "closed" (code, reason),
// "refused" (why a connection was not made), "awareness" (others: the states of everybody else) and "error".

import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { join } from 'node:path'

const folder = process.env.CONVOKE_TEST_YJS
const [server, board, token, name] = process.argv.slice(2)
if (!folder || !server || !board) {
  console.error('usage: CONVOKE_TEST_YJS=FOLDER node client.mjs SERVER_URL BOARD TOKEN [NAME]')
  process.exit(2)
}
// The packages lie elsewhere than this file, and all of them have to share one Yjs.
const require = createRequire(join(folder, 'client.cjs'))
const Y = require('yjs')
const { WebsocketProvider } = require('y-websocket')
const WebSocket = require('ws')

const tell = (event, what = {}) => process.stdout.write(JSON.stringify({ event, ...what }) + '\n')

const doc = new Y.Doc()
const elements = doc.getMap('elements')
// As editors do it: what is drawn here has an origin of its own, and only that is undone.
const HERE = 'here'
const undoing = new Y.UndoManager(elements, { trackedOrigins: new Set([HERE]), captureTimeout: 0 })
const provider = new WebsocketProvider(server, board, doc, {
  params: token ? { token } : {},
  WebSocketPolyfill: WebSocket,
  disableBc: true,
  // A test waits for a client that comes back.
  maxBackoffTime: 500
})

provider.on('status', ({ status }) => tell('status', { status }))
provider.on('sync', is => tell('synced', { is }))
provider.on('connection-close', event => {
  // A connection that was never made is closed as well.
  if (event) tell('closed', { code: event.code, reason: String(event.reason ?? '') })
})
provider.on('connection-error', event => tell('refused', { why: String(event?.message ?? event) }))

const others = () => {
  const states = [...provider.awareness.getStates()].filter(([client]) => client !== doc.clientID)
  return Object.fromEntries(states.map(([client, state]) => [String(client), state]))
}
provider.awareness.on('change', () => tell('awareness', { others: others() }))
if (name) provider.awareness.setLocalState({ user: { name } })

// Keys in order, however deep, so that equal documents are equal text.
const sorted = value => {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value
  return Object.fromEntries(Object.keys(value).sort().map(key => [key, sorted(value[key])]))
}

const report = () => {
  const vector = {}
  for (const [client, clock] of Y.decodeStateVector(Y.encodeStateVector(doc))) vector[client] = clock
  const deleted = {}
  for (const [client, ranges] of Y.snapshot(doc).ds.clients) {
    deleted[client] = ranges.map(range => [range.clock, range.clock + range.len])
  }
  // What came without what it builds on; nothing, in a document that is whole.
  const pending = doc.store.pendingStructs !== null || doc.store.pendingDs !== null
  return {
    client: doc.clientID,
    elements: sorted(elements.toJSON()),
    vector: sorted(vector),
    deleted: sorted(deleted),
    pending,
    synced: provider.synced
  }
}

const same = (left, right) => JSON.stringify(sorted(left)) === JSON.stringify(sorted(right))
const holds = ({ element, where = {} }) => {
  const found = elements.get(element)
  return found !== undefined && Object.entries(where).every(([key, value]) => same(found[key], value))
}

// What somebody waits for: looked at again after each change.
let waiting = []
const look = () => {
  waiting = waiting.filter(({ is, say }) => {
    if (!is()) return true
    say()
    return false
  })
}
const wait = (is, say) => {
  waiting.push({ is, say })
  look()
}
doc.on('afterTransaction', look)

const commands = {
  set: ({ element }) => { doc.transact(() => elements.set(element.id, element), HERE) },
  set_many: order => {
    doc.transact(() => order.elements.forEach(element => elements.set(element.id, element)), HERE)
  },
  delete: ({ element }) => { doc.transact(() => elements.delete(element), HERE) },
  undo: () => { undoing.undo() },
  redo: () => { undoing.redo() },
  awareness: ({ state }) => { provider.awareness.setLocalState(state) },
  connect: () => { provider.connect() },
  disconnect: () => { provider.disconnect() },
  token: order => {
    provider.params = { token: order.token }
    if (order.server) provider.serverUrl = order.server
  }
}

const obey = order => {
  const { id } = order
  if (order.do === 'report') return tell('report', { id, ...report() })
  if (order.do === 'wait') {
    return wait(() => holds(order), () => tell('present', { id, element: elements.get(order.element) }))
  }
  if (order.do === 'wait_gone') {
    return wait(() => !elements.has(order.element), () => tell('gone', { id, element: order.element }))
  }
  const command = Object.hasOwn(commands, order.do) ? commands[order.do] : undefined
  if (!command) throw new Error(`there is no command ${order.do}`)
  command(order)
  tell('done', { id, did: order.do })
}

const leave = () => {
  // Others are told that this one has gone.
  provider.destroy()
  setTimeout(() => process.exit(0), 50)
}

const lines = createInterface({ input: process.stdin })
lines.on('line', line => {
  if (line.trim() === '') return
  try {
    const order = JSON.parse(line)
    if (order.do === 'quit') leave()
    else obey(order)
  } catch (error) {
    tell('error', { why: String(error) })
  }
})
lines.on('close', leave)
