import { createServer, type Server } from 'node:net'
import { once } from 'node:events'

// Below the ports that systems give to outgoing connections: one of those could otherwise take a server's port while
// it is down.
const FIRST = 20_000
const LAST = 32_000
const TRIES = 100

/** Ports on 127.0.0.1 where nobody listens at the moment. */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = []
  const ports: number[] = []
  for (let tries = 0; ports.length < count && tries < TRIES; tries++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST))
    const server = await hold(port)
    if (server === undefined) continue
    held.push(server)
    ports.push(port)
  }
  await Promise.all(held.map((server) => once(server.close(), 'close')))
  if (ports.length < count) throw new Error(`no ${count} free ports were found on 127.0.0.1 from ${FIRST} to ${LAST}`)
  return ports
}

function hold(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen({ port, host: '127.0.0.1' }, () => resolve(server))
  })
}
