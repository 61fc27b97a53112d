// Yjs's own server, with no persistence, on a free port of this machine, which it prints.

import { setupWSConnection } from '@y/websocket-server/utils'
import { WebSocketServer } from 'ws'

const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
server.on('connection', (socket, request) => {
  socket._socket.setNoDelay(true)
  setupWSConnection(socket, request)
})
server.on('listening', () => console.log(server.address().port))
