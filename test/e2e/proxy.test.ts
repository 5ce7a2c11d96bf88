import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { encodeHandshake, helloOf } from '../../src/transport/handshake.js'
import { until } from '../integration/websocket-subject.js'
import { ProxiedNetwork } from './proxied-network.js'

/** Ids of the dialler and of the server behind the proxy. */
const FROM = 1
const TO = 2

describe('a proxied way', () => {
  let network: ProxiedNetwork
  let sockets: WebSocketServer
  let received: string[]
  const diallers: WebSocket[] = []

  beforeEach(async () => {
    received = []
    sockets = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    await once(sockets, 'listening')
    sockets.on('connection', (ws) => {
      ws.on('message', (bytes: Buffer) => received.push(bytes.toString()))
      ws.send('greetings')
    })
    network = await ProxiedNetwork.make([FROM, TO])
    network.leadTo(TO, (sockets.address() as AddressInfo).port)
  })

  afterEach(async () => {
    for (const ws of diallers.splice(0)) ws.terminate()
    await network.close()
    sockets.close()
  })

  /** Dials the server as the other one would, and says hello. */
  async function dial(from = FROM): Promise<{ readonly ws: WebSocket; readonly closed: Promise<unknown> }> {
    const ws = new WebSocket(`ws://${network.address(TO)}/`)
    diallers.push(ws)
    const closed = new Promise((resolve) => ws.once('close', resolve))
    ws.on('error', () => undefined)
    await once(ws, 'open')
    ws.send(encodeHandshake(helloOf({ id: from, clusterId: undefined, storeId: 'store', nonce: 1 }, TO, 'log')))
    return { ws, closed }
  }

  it('carries what is sent, in order', async () => {
    const { ws } = await dial()
    for (let at = 0; at < 100; at++) ws.send(`message ${at}`)
    await until(() => received.length === 101, 'all have arrived')
    expect(received.slice(1)).toEqual(Array.from({ length: 100 }, (_, at) => `message ${at}`))
  })

  it('that is held delivers nothing, tells nobody, and delivers all of it once it is open', async () => {
    const { ws } = await dial()
    await until(() => received.length === 1, 'the hello has arrived')
    const open = network.impose([[FROM, TO]], { passage: 'held' })
    const other = await dial(3)
    ws.send('held')
    other.ws.send('not held')
    await until(() => received.includes('not held'), "another's way is open")
    expect(received).not.toContain('held')
    expect(ws.readyState).toBe(WebSocket.OPEN)
    open()
    await until(() => received.includes('held'), 'it has arrived')
  })

  it('that is reset ends its connections, and new ones once their dialler has said who it is', async () => {
    const old = await dial()
    await until(() => received.length === 1, 'the hello has arrived')
    const other = await dial(3)
    const open = network.impose([[FROM, TO]], { passage: 'reset' })
    await old.closed
    await (
      await dial()
    ).closed
    other.ws.send('still here')
    await until(() => received.includes('still here'), "another's connection holds")
    open()
    const { ws } = await dial()
    ws.send('again')
    await until(() => received.includes('again'), 'it is open again')
  })

  it('that is slow delivers late, and one that is narrow takes its time for every byte', async () => {
    const { ws } = await dial()
    await until(() => received.length === 1, 'the hello has arrived')
    const startedAt = performance.now()
    network.impose([[FROM, TO]], { delayMs: 50 })
    ws.send('slow')
    await until(() => received.includes('slow'), 'it has arrived')
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(49)
    network.impose([[FROM, TO]], { bytesPerSecond: 10_000 })
    const narrowAt = performance.now()
    ws.send('x'.repeat(1000))
    await until(() => received.length === 3, 'it has arrived')
    expect(performance.now() - narrowAt).toBeGreaterThanOrEqual(149)
  })

  it('ends for both when one of them goes', async () => {
    const { ws, closed } = await dial()
    await until(() => sockets.clients.size === 1, 'it is connected')
    for (const client of sockets.clients) client.terminate()
    await closed
    const { ws: next } = await dial()
    await until(() => sockets.clients.size === 1, 'it is connected again')
    next.terminate()
    await until(() => sockets.clients.size === 0, 'the server sees it go')
    expect(ws.readyState).toBe(WebSocket.CLOSED)
  })
})
