import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { crc32 } from 'node:zlib'
import { ENTRY_HEADER_BYTES, RUN_HEADER_BYTES } from '../../src/machines/entry-run.js'
import type { Message } from '../../src/machines/messages.js'
import { encodeMessage } from '../../src/transport/codec.js'
import { QUICK, until } from './websocket-subject.js'
import { connect, heartbeat, TestServer } from './websocket-server.js'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

function server(id: number, ...rest: [ConstructorParameters<typeof TestServer>[1]?]): TestServer {
  const made = new TestServer(id, ...rest)
  closing.push(() => made.stop())
  return made
}

function propose(bodyBytes: number): Message {
  const bytes = new Uint8Array(RUN_HEADER_BYTES + ENTRY_HEADER_BYTES + bodyBytes)
  new DataView(bytes.buffer).setUint32(RUN_HEADER_BYTES, bodyBytes)
  return { type: 'propose', term: 1, nonce: 1, batch: 1, count: 1, bytes }
}

/** A wire between a peer and the port it listens on, which can be pulled and put back without either being told. */
async function wire(to: () => number): Promise<{ port: number; cut: boolean; sockets: Set<Socket> }> {
  const { connect: dial } = await import('node:net')
  const sockets = new Set<Socket>()
  const state = { port: 0, cut: false, sockets }
  const proxy: Server = createServer((near) => {
    const far = dial(to(), '127.0.0.1')
    for (const [here, there] of [[near, far] as const, [far, near] as const]) {
      sockets.add(here)
      here.on('data', (bytes) => state.cut || there.write(bytes))
      here.on('error', () => undefined)
      here.on('close', () => there.destroy())
    }
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const address = proxy.address()
  if (typeof address === 'object' && address !== null) state.port = address.port
  closing.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => proxy.close(resolve))
  })
  return state
}

describe('listening', () => {
  it('on an address in use fails with TRANSPORT_FAILED, and names it', async () => {
    const one = server(1)
    await one.start()
    const { address } = one.transport
    const starting = server(2, { listen: address }).start()
    await expect(starting).rejects.toMatchObject({
      code: 'TRANSPORT_FAILED',
      message: expect.stringContaining(address) as string,
    })
  })

  it('on what is no address fails with TRANSPORT_FAILED', async () => {
    for (const listen of ['', 'nowhere', '127.0.0.1:99999', 'a b:c']) {
      await expect(server(1, { listen }).start()).rejects.toMatchObject({ code: 'TRANSPORT_FAILED' })
    }
  })

  it('tells the port that the system chose, and keeps telling it after stop', async () => {
    const one = server(1)
    await one.start()
    expect(one.transport.address).toMatch(/^127\.0\.0\.1:[1-9]\d*$/)
    const { address } = one.transport
    await one.stop()
    expect(one.transport.address).toBe(address)
  })

  it('starts once', async () => {
    const one = server(1)
    await one.start()
    await expect(one.start()).rejects.toMatchObject({ code: 'TRANSPORT_FAILED' })
  })

  it('that is stopped before it began is reported as STOPPED, and lets go of the port', async () => {
    const one = server(1)
    const starting = one.start()
    const stopping = one.stop()
    await expect(starting).rejects.toMatchObject({ code: 'STOPPED' })
    await stopping
  })

  it('stops twice, each time calling back', async () => {
    const one = server(1)
    await one.start()
    await Promise.all([one.stop(), one.stop()])
    await one.stop()
  })

  it('answers a browser with what this port is', async () => {
    const one = server(1)
    await one.start()
    const response = await fetch(`http://${one.transport.address}/`)
    expect(response.status).toBe(426)
    expect(await response.text()).toContain('Actorum')
  })
})

describe('a peer', () => {
  it('that was not there comes up once it is', async () => {
    const two = server(2)
    await two.start()
    const { address } = two.transport
    await two.stop()
    const one = server(1)
    await one.start()
    one.transport.setPeers([{ id: 2, address }])
    const later = server(2, { listen: address })
    await later.start()
    later.transport.setPeers([{ id: 1, address: one.transport.address }])
    await until(() => one.up.has(2) && later.up.has(1), 'both see the other up')
    expect(one.notices).toEqual([])
  })

  it('that answers under another id is not sent to, and that is said once', async () => {
    const [one, three] = [server(1), server(3)]
    await one.start()
    await three.start()
    three.transport.setPeers([{ id: 1, address: one.transport.address }])
    one.transport.setPeers([{ id: 2, address: three.transport.address }])
    await until(() => three.notices.length > 0 && one.notices.length > 1, 'the mix-up is noticed')
    const attempts = QUICK.reconnectMsMax! * 4
    await new Promise((resolve) => setTimeout(resolve, attempts))
    expect(one.notices.filter((text) => text.includes('this is server 3, not server 2'))).toHaveLength(1)
    expect(one.up.size).toBe(0)
  })

  it('whose address is none is said to be so once, and harms nothing', async () => {
    const one = server(1)
    await one.start()
    one.transport.setPeers([{ id: 2, address: 'not an address' }])
    await until(() => one.notices.length > 0, 'it is said')
    one.transport.send(2, heartbeat(1))
    await until(() => one.drops === 1, 'what is sent there is dropped')
    expect(one.notices).toEqual([expect.stringContaining('cannot dial server 2')])
  })

  it('whose address changed is dialled anew', async () => {
    const [one, two] = [server(1), server(2)]
    await connect(one, two)
    await two.stop()
    const moved = server(2)
    await moved.start(22)
    const peers = [one, moved].map(({ id, transport }) => ({ id, address: transport.address }))
    one.transport.setPeers(peers)
    moved.transport.setPeers(peers)
    await until(() => one.up.get(2) === 22 && moved.up.has(1), 'the peer is up at its new address')
  })

  it('that vanishes without a word is found down by its silence, and comes back', async () => {
    const options = { ...QUICK, pingMs: 20, dialTimeoutMs: 50 }
    const [one, two] = [server(1, { options }), server(2, { options })]
    await one.start()
    await two.start()
    const port = Number(two.transport.address.split(':')[1])
    const between = await wire(() => port)
    one.transport.setPeers([{ id: 2, address: `127.0.0.1:${between.port}` }])
    two.transport.setPeers([{ id: 1, address: one.transport.address }])
    await until(() => one.up.has(2) && two.up.has(1), 'both are up')
    between.cut = true
    await until(() => !one.up.has(2), 'the silence is noticed')
    between.cut = false
    await until(() => one.up.has(2), 'the peer is up again')
  })
})

describe('the outbox', () => {
  it('drops what a peer does not take, says so once a turn, and delivers whole frames afterwards', async () => {
    const options = { ...QUICK, outboxBytesMax: 1024 * 1024 }
    const [one, two] = [server(1, { options }), server(2, { options })]
    await connect(one, two)
    for (let at = 0; at < 20; at++) one.transport.send(2, propose(512 * 1024))
    expect(one.drops).toBe(0)
    await until(() => one.drops > 0 && two.received.length > 0, 'some is dropped and some arrives')
    expect(one.drops).toBe(1)
    one.transport.send(2, heartbeat(1))
    await until(() => two.received.at(-1)?.type === 'heartbeat', 'a heartbeat passes')
    expect(two.received.length).toBeLessThan(20)
    expect(one.downs + two.downs).toBe(0)
  })

  it('lets a heartbeat pass megabytes of entries', async () => {
    const [one, two] = [server(1), server(2)]
    await connect(one, two)
    for (let at = 0; at < 6; at++) one.transport.send(2, propose(4 * 1024 * 1024))
    one.transport.send(2, heartbeat(1))
    await until(() => two.received.length === 7, 'all arrives')
    expect(two.received.findIndex(({ type }) => type === 'heartbeat')).toBeLessThan(6)
  })

  it('sends no frame above the limit that its peer would refuse', async () => {
    const limits = { frameBytesMax: 100_000, runsMax: 10 }
    const [one, two] = [server(1, { limits }), server(2, { limits })]
    await connect(one, two)
    one.transport.send(2, propose(200_000))
    one.transport.send(2, heartbeat(1))
    await until(() => two.received.length === 1 && one.drops === 1, 'one is dropped, the other arrives')
    expect(one.notices).toEqual([expect.stringContaining('longer than frameBytesMax, 100000')])
    expect(one.downs + two.downs).toBe(0)
  })
})

describe('an exception while a frame is handled', () => {
  it('closes the connection it came on, is said, and harms nothing else', async () => {
    const [one, two] = [server(1), server(2)]
    await connect(one, two)
    two.onMessage = (message) => {
      if (message.type === 'heartbeat' && message.round === 1) throw new Error('a fault of the receiver')
    }
    one.transport.send(2, heartbeat(1))
    await until(() => one.downs === 1, 'the connection closes')
    expect(two.notices).toEqual([expect.stringContaining('a fault of the receiver')])
    await until(() => one.up.has(2), 'and is made anew')
    one.transport.send(2, heartbeat(2))
    await until(() => two.received.length === 2, 'messages pass again')
  })
})

it('the frames of one turn arrive as they were sent', async () => {
  const [one, two] = [server(1), server(2)]
  await connect(one, two)
  const sent = [1, 2, 3].map((size): Message => propose(size))
  for (const message of sent) one.transport.send(2, message)
  await until(() => two.received.length === 3, 'all arrive')
  const frames = (messages: readonly Message[]) =>
    messages.map((message) => encodeMessage(message, crc32).map((part) => [...part]))
  expect(frames(two.received)).toEqual(frames(sent))
})
