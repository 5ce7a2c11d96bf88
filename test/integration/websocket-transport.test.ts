import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { crc32 } from 'node:zlib'
import { ENTRY_HEADER_BYTES, RUN_HEADER_BYTES } from '../../src/machines/entry-run.js'
import type { Message } from '../../src/machines/messages.js'
import { encodeMessage } from '../../src/transport/codec.js'
import type { JoinAnswer } from '../../src/transport/ports.js'
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

function piece(byteLength: number): Message {
  const snapshot = { index: 1, term: 1, byteLength: 2 ** 30, checksum: 0 }
  return { type: 'installSnapshot', term: 1, snapshot, offset: 0, bytes: new Uint8Array(byteLength) }
}

/** The connection for snapshots opens a moment after the peer is up. */
async function snapshotsPass(from: TestServer, to: TestServer): Promise<void> {
  await until(() => {
    if (to.received.length === 0) from.transport.send(to.id, piece(0))
    return to.received.length > 0
  }, 'the connection for snapshots is open')
  from.transport.send(to.id, { ...piece(0), term: 2 })
  await until(() => to.received.at(-1)?.term === 2, 'and no offer is still under way')
  to.received.length = 0
  from.notices.length = 0
}

interface Asked {
  readonly error: Error | undefined
  readonly answer: JoinAnswer | undefined
}

function ask(from: TestServer, address: string): Promise<Asked> {
  const member = { id: from.id, address: from.transport.address }
  return new Promise((resolve) => {
    from.transport.ask(address, { clusterId: null, member }, (error, answer) => resolve({ error, answer }))
  })
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

  it('that moved is reached at its new address, with messages under way all the while', async () => {
    const [one, two] = [server(1), server(2)]
    await connect(one, two)
    const port = Number(two.transport.address.split(':')[1])
    const between = await wire(() => port)
    let round = 0
    const sendsUntil = (condition: () => boolean, claim: string) =>
      until(() => {
        one.transport.send(2, heartbeat(round++))
        two.transport.send(1, heartbeat(round))
        return condition()
      }, claim)
    await sendsUntil(() => two.received.length > 10, 'messages pass')
    one.transport.setPeers([{ id: 2, address: `127.0.0.1:${between.port}` }])
    expect(one.downs).toBe(1)
    await sendsUntil(() => one.up.has(2) && two.up.has(1), 'both see the other up again')
    const [there, back] = [two.received.length, one.received.length]
    await sendsUntil(() => two.received.length > there + 10 && one.received.length > back, 'messages pass again')
    expect(between.sockets.size).toBeGreaterThan(0)
    one.transport.setPeers([{ id: 2, address: two.transport.address }])
    await sendsUntil(() => one.up.has(2) && two.up.has(1), 'and once more when it moves back')
    expect(one.notices.concat(two.notices)).toEqual([])
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

describe('a peer of protocol version 1', () => {
  const before = { protocolVersions: { min: 1, max: 1 } }

  it('comes up and takes part, whoever dials', async () => {
    const servers = [server(1), server(2, before), server(3)]
    await connect(...servers)
    for (const from of servers) {
      for (const to of servers) if (from !== to) from.transport.send(to.id, heartbeat(from.id))
    }
    await until(() => servers.every(({ received }) => received.length === 2), 'each hears of both others')
    expect(servers.flatMap(({ notices }) => notices)).toEqual([])
  })

  it('is not sent what it does not know, which is no drop, and is said once', async () => {
    const [one, two] = [server(1), server(2, before)]
    await connect(one, two)
    for (let at = 0; at < 3; at++) one.transport.send(2, piece(10))
    one.transport.send(2, { type: 'notMember', term: 1, index: 1 })
    expect(one.notices).toEqual([])
    one.transport.send(2, heartbeat(1))
    await until(() => two.received.length > 0, 'what it knows arrives')
    expect(two.received.map(({ type }) => type)).toEqual(['heartbeat'])
    expect(one.notices).toEqual([expect.stringContaining('server 2 speaks protocol version 1')])
    expect(one.drops + one.downs + two.downs).toBe(0)
  })

  it('is sent everything once it is upgraded', async () => {
    const [one, two] = [server(1), server(2, before)]
    await connect(one, two)
    await two.stop()
    const upgraded = server(2, { listen: two.transport.address })
    await upgraded.start(22)
    upgraded.transport.setPeers([{ id: 1, address: one.transport.address }])
    await until(() => one.up.get(2) === 22 && upgraded.up.has(1), 'it is up again')
    await snapshotsPass(one, upgraded)
  })

  it('can neither be asked for membership nor ask', async () => {
    const [one, two] = [server(1), server(2, before)]
    await one.start()
    await two.start()
    const asked = await ask(one, two.transport.address)
    expect(asked.answer).toEqual({
      kind: 'refused',
      reason: 'protocol versions 2 to 2 include none of 1 to 1, spoken here',
    })
    const asking = await ask(two, one.transport.address)
    expect(asking.error).toMatchObject({ code: 'TRANSPORT_FAILED' })
    expect(one.asked.length + two.asked.length).toBe(0)
  })
})

describe('a wish to join', () => {
  const options = { ...QUICK, joinTimeoutMs: 30 }

  it('that nobody answers fails in time', async () => {
    const [one, two] = [server(1, { options }), server(2)]
    await one.start()
    await two.start()
    const { error } = await ask(one, two.transport.address)
    expect(error).toMatchObject({ code: 'TIMEOUT' })
    expect(two.asked.length).toBe(1)
  })

  it('is refused by the server asked when it has no answer in time', async () => {
    const [one, two] = [server(1), server(2, { options })]
    await one.start()
    await two.start()
    const { answer } = await ask(one, two.transport.address)
    expect(answer).toEqual({ kind: 'refused', reason: 'no answer in time' })
  })

  it('fails when what answers is no server of ours', async () => {
    const one = server(1)
    await one.start()
    const noServer = createServer((socket) => socket.resume().end('HTTP/1.1 200 OK\r\n\r\nhello'))
    await new Promise<void>((resolve) => noServer.listen(0, '127.0.0.1', resolve))
    closing.push(() => new Promise((resolve) => noServer.close(() => resolve())))
    const address = noServer.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const { error } = await ask(one, `127.0.0.1:${port}`)
    expect(error).toMatchObject({ code: 'TRANSPORT_FAILED' })
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

  it('lets heartbeats and entries pass megabytes of a snapshot', async () => {
    const [one, two] = [server(1), server(2)]
    await connect(one, two)
    await snapshotsPass(one, two)
    for (let at = 0; at < 6; at++) one.transport.send(2, piece(4 * 1024 * 1024))
    one.transport.send(2, propose(100))
    one.transport.send(2, heartbeat(1))
    await until(() => two.received.length === 8, 'all arrives')
    const places = ['heartbeat', 'propose'].map((wanted) => two.received.findIndex(({ type }) => type === wanted))
    expect(Math.max(...places)).toBeLessThan(7)
    expect(one.drops).toBe(0)
  })

  it('drops pieces of a snapshot that a peer does not take, and says so in a notice alone', async () => {
    const options = { ...QUICK, outboxBytesMax: 1024 * 1024 }
    const [one, two] = [server(1, { options }), server(2, { options })]
    await connect(one, two)
    await snapshotsPass(one, two)
    for (let at = 0; at < 20; at++) one.transport.send(2, piece(512 * 1024))
    one.transport.send(2, heartbeat(1))
    await until(() => two.received.some(({ type }) => type === 'heartbeat'), 'a heartbeat passes')
    expect(one.notices).toEqual([expect.stringContaining('pieces of a snapshot to server 2 were dropped')])
    expect(one.drops + one.downs + two.downs).toBe(0)
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

describe('a frame longer than its receiver takes', () => {
  it('closes the connection it came on, and the receiver says whose it was and which options differ', async () => {
    const limits = { frameBytesMax: 100_000, runsMax: 10 }
    const [one, two] = [server(1), server(2, { limits })]
    await connect(one, two)
    one.transport.send(2, propose(200_000))
    await until(() => one.downs === 1, 'the connection closes')
    expect(two.notices).toEqual([
      expect.stringMatching(
        /a connection of server 1 was closed: .* longer than frameBytesMax, 100000\. The options .* same/,
      ),
    ])
    await until(() => one.up.has(2), 'and is made anew')
    one.transport.send(2, heartbeat(1))
    await until(() => two.received.length === 1, 'what is short enough passes')
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
