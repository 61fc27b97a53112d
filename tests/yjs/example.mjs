// The example of docs/whiteboards.md as it stands there, at a board, with a browser's WebSocket.
//
//     CONVOKE_TEST_YJS=folder-with-node_modules node example.mjs URL BOARD TOKEN
//
// It draws the element "example". Each line of standard output is what happened, a JSON object with "event":
// "synced" (is), "sees" (element: an id), and "lost" (code: what its socket was closed with), which is the end.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = process.env.CONVOKE_TEST_YJS
const [url, whiteboard, token] = process.argv.slice(2)
const tell = (event, what) => process.stdout.write(JSON.stringify({ event, ...what }) + '\n')
globalThis.WebSocket = createRequire(join(folder, 'example.cjs'))('ws')
// What the example prints is not for this process's reader.
console.log = console.error

const page = readFileSync(new URL('../../docs/whiteboards.md', import.meta.url), 'utf8')
const [, example] = page.match(/```js\n([\s\S]*?)```/)
const file = join(folder, `example-${process.pid}.mjs`)
writeFileSync(file, example)
const { openBoard } = await import(pathToFileURL(file))
rmSync(file)

const me = {
  ask: async (command, asked) => {
    if (command !== 'whiteboard.open' || asked.whiteboard !== whiteboard) throw new Error(command)
    return { url, token, writable: true }
  }
}
const board = await openBoard(me, whiteboard, code => {
  tell('lost', { code })
  process.exit(0)
})
board.elements.observe(event => event.keysChanged.forEach(id => tell('sees', { element: id })))
board.provider.on('sync', is => {
  if (!is) return
  tell('synced', { is })
  board.draw({ id: 'example', type: 'rectangle' })
})
