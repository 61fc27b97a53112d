// Hocuspocus, with no persistence, on a free port of this machine, which it prints.

import { Server } from '@hocuspocus/server'

const server = new Server({
  address: '127.0.0.1',
  port: 0,
  quiet: true,
  // While another server has its turn, its clients are silent.
  timeout: 3_600_000,
  // Nobody who is there loses what the board was loaded with.
  unloadImmediately: false
})
await server.listen()
console.log(server.address.port)
