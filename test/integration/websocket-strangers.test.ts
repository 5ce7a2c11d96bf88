import { connect as dial, type Socket } from 'node:net'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { crc32 } from '../../src/machines/checksum.js'
import type { Clock } from '../../src/machines/time-and-chance.js'
import { encodeMessage } from '../../src/transport/codec.js'
import { HANDSHAKE_BYTES_MAX, type Hello } from '../../src/transport/handshake.js'
import { receivedText } from '../../src/transport/websocket/received-text.js'
import { QUICK, realClock, until } from './websocket-subject.js'
import { connect, heartbeat, TestServer } from './websocket-server.js'

const options = { ...QUICK, helloTimeoutMs: 100, strangersMax: 8 }
const hello: Hello = {
  kind: 'hello',
  versionMin: 1,
  versionMax: 1,
  id: 2,
  clusterId: 'cluster',
  storeId: 'store of 2',
  nonce: 2,
  to: 1,
  channel: 'control',
}

/** Time in which timers of ten seconds wait to be let through; nothing else here is that slow. */
class LateTimers {
  readonly #callbacks = new Set<() => void>()

  readonly clock: Clock = {
    ...realClock,
    setTimeout: (callback, delayMs) => {
      if (delayMs < 5000) return realClock.setTimeout(callback, delayMs)
      this.#callbacks.add(callback)
      return callback
    },
    clearTimeout: (timer) => {
      if (typeof timer !== 'function' || !this.#callbacks.delete(timer as () => void)) realClock.clearTimeout(timer)
    },
  }

  get waiting(): number {
    return this.#callbacks.size
  }

  pass(): void {
    for (const callback of [...this.#callbacks]) callback()
  }
}

let late: LateTimers
let one: TestServer
let two: TestServer
const sockets: (Socket | WebSocket)[] = []

beforeEach(async () => {
  late = new LateTimers()
  one = new TestServer(1, { options, clock: late.clock })
  two = new TestServer(2, { options })
  await connect(one, two)
})

afterEach(async () => {
  for (const socket of sockets.splice(0)) {
    if (socket instanceof WebSocket) socket.terminate()
    else socket.destroy()
  }
  await one.stop()
  await two.stop()
})

/** A stranger's socket, open, with what it hears. */
async function stranger(): Promise<{
  ws: WebSocket
  heard: string[]
  closed: Promise<{ code: number; reason: string }>
}> {
  const ws = new WebSocket(`ws://${one.transport.address}/`)
  sockets.push(ws)
  const heard: string[] = []
  ws.on('message', (bytes, isBinary) => heard.push(receivedText(bytes, isBinary)))
  ws.on('error', () => undefined)
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.on('close', (code, reason) => resolve({ code, reason: String(reason) }))
  })
  await new Promise((resolve) => ws.on('open', resolve))
  return { ws, heard, closed }
}

function raw(): Socket {
  const socket = dial(Number(one.transport.address.split(':')[1]), '127.0.0.1')
  socket.on('error', () => undefined)
  sockets.push(socket)
  return socket
}

async function stillServes(): Promise<void> {
  const before = one.received.length
  const heard = () => {
    two.transport.send(1, heartbeat(before))
    return one.received.length > before && one.up.has(2)
  }
  await until(heard, 'the good peer is heard, and up')
}

describe('a stranger', () => {
  it('that says nothing is closed after a while', async () => {
    const { closed } = await stranger()
    await closed
    await new Promise((resolve) => raw().on('close', resolve))
    await stillServes()
  })

  it('that says more than a hello can hold is closed at once', async () => {
    const { ws, closed } = await stranger()
    ws.send('x'.repeat(4 * HANDSHAKE_BYTES_MAX))
    await closed
    const slow = await stranger()
    slow.ws.send(new Uint8Array(3 * HANDSHAKE_BYTES_MAX), { fin: false })
    await slow.closed
    await stillServes()
  })

  it('that is one too many is turned away, and a member still gets in', async () => {
    const many = Array.from({ length: 20 }, raw)
    let closed = 0
    for (const socket of many) socket.on('close', () => closed++)
    await until(() => closed >= 12, 'those above the limit are closed')
    await until(() => closed === 20, 'the others too, when they say nothing')
    expect(one.notices.filter((text) => text.includes('have sent no hello yet'))).toHaveLength(1)
    await stillServes()
  })

  it('that sends a frame instead of a hello is refused', async () => {
    const { ws, heard, closed } = await stranger()
    ws.send(Uint8Array.of(1, 2, 3))
    await closed
    expect(heard).toEqual([expect.stringContaining('not a JSON object')])
    await stillServes()
  })

  it('of the same cluster that is no member is told of, by where it listens', async () => {
    const { ws, closed } = await stranger()
    ws.send(JSON.stringify({ ...hello, id: 7, address: 'host:7' }))
    await closed
    expect(one.strangers).toEqual(['host:7'])
  })

  const faults: readonly [string, Partial<Record<keyof Hello, unknown>>, RegExp][] = [
    ['another protocol version', { versionMin: 3, versionMax: 4 }, /protocol versions 3 to 4 include none of 1 to 2/],
    ['another cluster', { clusterId: 'another' }, /cluster another/],
    ['the wish for another server', { to: 3 }, /this is server 1, not server 3/],
    ['an id that is not a member', { id: 7 }, /server 7 is not a member known here/],
    ['an id out of range', { id: 2 ** 32 }, /no server id/],
    ['a name that would break a line of the log', { storeId: 'a\nb' }, /no store id/],
    ['a nonce that is none', { nonce: 'x' }, /no nonce/],
    ['an empty range of versions', { versionMin: 2, versionMax: 1 }, /no range of versions/],
    ['a channel that its protocol version lacks', { channel: 'snapshot' }, /version 1 has no channel for snapshots/],
    ['a wish to join that names nobody', { kind: 'join', member: {} } as never, /who would be the member/],
    ['a channel that is none', { channel: 'side' }, /no channel/],
    ['an address that would break a line', { address: 'a\nb' }, /has an address that is none/],
    ['the wrong kind', { kind: 'welcome', version: 1 } as never, /with a welcome, not with a hello/],
  ]
  for (const [what, fault, reason] of faults) {
    it(`with ${what} is refused, and told why`, async () => {
      const { ws, heard, closed } = await stranger()
      ws.send(JSON.stringify({ ...hello, ...fault }))
      expect((await closed).code).toBe(1008)
      expect(heard).toEqual([expect.stringMatching(reason)])
      expect(one.notices).toEqual([expect.stringMatching(reason)])
      await stillServes()
    })
  }

  const refusedOf = (text: string): boolean => text.includes('refused a connection from')

  it('with another fault than the ones before is told of at once, and with the same as a number, in time', async () => {
    const different = faults.slice(0, 4)
    for (let round = 0; round < 3; round++) {
      for (const [, fault] of different) {
        const { ws, closed } = await stranger()
        ws.send(JSON.stringify({ ...hello, ...fault }))
        await closed
      }
    }
    expect(one.notices.filter(refusedOf)).toEqual(
      different.map(([, , reason]) => expect.stringMatching(reason) as string),
    )
    late.pass()
    expect(one.notices.filter(refusedOf).slice(4)).toEqual(
      different.map(([, , reason]) => expect.stringMatching(`${reason.source}.* \\(and 1 more of the kind`) as string),
    )
  })

  it('cannot make notices many by saying something else each time', async () => {
    for (let at = 0; at < 20; at++) {
      const { ws, closed } = await stranger()
      ws.send(JSON.stringify({ ...hello, clusterId: `cluster of mine ${at}`, nonce: at }))
      await closed
    }
    expect(one.notices.filter(refusedOf)).toHaveLength(1)
    late.pass()
    expect(one.notices.filter(refusedOf).slice(1)).toEqual([expect.stringContaining('(and 18 more of the kind')])
  })

  it('leaves nothing to be told by a server that has stopped', async () => {
    for (let at = 0; at < 2; at++) {
      const { ws, closed } = await stranger()
      ws.send('nothing')
      await closed
    }
    expect(late.waiting).toBe(1)
    await one.stop()
    expect(late.waiting).toBe(0)
  })
})

describe('a wish to join', () => {
  const join = { kind: 'join', versionMin: 2, versionMax: 9, clusterId: null, member: { id: 7, address: 'host:7' } }

  it('of a newer version is answered in the newest known here, its unknown fields ignored', async () => {
    const { ws, heard, closed } = await stranger()
    ws.send(JSON.stringify({ ...join, zone: 'north', member: { ...join.member, zone: 'north' } }))
    await until(() => one.asked.length === 1, 'it is passed on')
    expect(one.asked[0]?.request).toEqual({ clusterId: null, member: join.member })
    one.asked[0]?.answer({ kind: 'redirect', address: 'host:1' })
    expect((await closed).code).toBe(1000)
    expect(heard.map((text) => JSON.parse(text) as unknown)).toEqual([
      { version: 2, kind: 'redirect', address: 'host:1' },
    ])
  })

  it('does not let its asker send anything else', async () => {
    const { ws, closed } = await stranger()
    ws.send(JSON.stringify(join))
    await until(() => one.asked.length === 1, 'it is passed on')
    ws.send(new Uint8Array(3 * HANDSHAKE_BYTES_MAX))
    await closed
    one.asked[0]?.answer({ kind: 'redirect', address: 'host:1' })
    await stillServes()
  })
})

describe('an admitted peer', () => {
  it('is welcomed in the highest version that both know, whatever else its hello says', async () => {
    for (const [versionMax, agreed] of [[1, 1] as const, [2, 2] as const, [9, 2] as const]) {
      const { ws, heard } = await stranger()
      ws.send(JSON.stringify({ ...hello, versionMax, zone: 'north' }))
      await until(() => heard.length === 1, 'it is welcomed')
      expect(JSON.parse(heard[0]!)).toMatchObject({ kind: 'welcome', version: agreed })
    }
  })

  it('that sends a message which its protocol version does not know loses that connection', async () => {
    const { ws, heard, closed } = await stranger()
    ws.send(JSON.stringify(hello))
    await until(() => heard.length === 1, 'it is welcomed')
    ws.send(encodeMessage({ type: 'notMember', term: 1, index: 1 }, crc32)[0]!)
    expect((await closed).code).toBe(1008)
    expect(one.notices).toEqual([expect.stringContaining('notMember is no message of protocol version 1')])
    await stillServes()
  })

  it('that sends a malformed frame loses that connection, with the reason', async () => {
    const { ws, heard, closed } = await stranger()
    ws.send(JSON.stringify(hello))
    await until(() => heard.length === 1, 'it is welcomed')
    ws.send(Uint8Array.of(9, 9, 9, 9, 9))
    expect(await closed).toEqual({ code: 1008, reason: expect.stringContaining('a frame header') as string })
    expect(one.notices).toEqual([expect.stringContaining('a malformed frame from server 2 on its control channel')])
    await until(() => two.up.has(1), 'the true one dials again')
    await stillServes()
  })

  it('whose frames are malformed in several ways has each told at once, and the rest in time', async () => {
    // Else the true one dials again, and its connection takes the place of this one.
    await two.stop()
    const frames = [
      'text',
      Uint8Array.of(9, 9, 9, 9, 9),
      encodeMessage({ type: 'notMember', term: 1, index: 1 }, crc32)[0]!,
    ]
    for (let round = 0; round < 3; round++) {
      for (const frame of frames) {
        const { ws, heard, closed } = await stranger()
        ws.send(JSON.stringify(hello))
        await until(() => heard.length === 1, 'it is welcomed')
        ws.send(frame)
        await closed
      }
    }
    const told = (): string[] => one.notices.filter((text) => text.includes('a malformed frame'))
    const reasons = ['text after the handshake', 'a frame header', 'notMember is no message of protocol version 1']
    expect(told()).toEqual(reasons.map((reason) => expect.stringContaining(reason) as string))
    late.pass()
    expect(told().slice(3)).toEqual(reasons.map(() => expect.stringContaining('(and 1 more of the kind') as string))
  })

  it('that sends text after its hello loses that connection', async () => {
    const { ws, heard, closed } = await stranger()
    ws.send(JSON.stringify(hello))
    await until(() => heard.length === 1, 'it is welcomed')
    ws.send('hello again')
    expect((await closed).code).toBe(1008)
  })

  it('whose newer connection is there loses the older', async () => {
    const first = await stranger()
    first.ws.send(JSON.stringify(hello))
    await until(() => first.heard.length === 1, 'the first is welcomed')
    const second = await stranger()
    second.ws.send(JSON.stringify(hello))
    await first.closed
  })

  it('that comes with a new nonce ends what an earlier incarnation sent and dialled', async () => {
    const earlier = await stranger()
    earlier.ws.send(JSON.stringify({ ...hello, channel: 'log' }))
    await until(() => earlier.heard.length === 1, 'the earlier is welcomed')
    const later = await stranger()
    later.ws.send(JSON.stringify({ ...hello, nonce: 22 }))
    await earlier.closed
    expect(later.heard.length).toBe(1)
    await until(() => one.downs > 0, 'the connections to the earlier are closed')
  })
})

it('garbage of any kind leaves the good peers served', async () => {
  const text = fc.oneof(fc.string(), fc.json(), fc.constant(JSON.stringify(hello)))
  const garbage = fc.array(fc.oneof(text, fc.uint8Array()), { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(garbage, fc.boolean(), async (pieces, throughWebSocket) => {
      if (throughWebSocket) {
        const { ws } = await stranger()
        for (const piece of pieces) ws.send(piece)
        ws.close()
      } else {
        const socket = raw()
        for (const piece of pieces) socket.write(piece)
        socket.end()
      }
      await until(() => one.up.has(2) && two.up.has(1), 'the good peers are up')
    }),
    { numRuns: 60 },
  )
  await until(() => one.up.has(2) && two.up.has(1), 'the good peers are up')
  await stillServes()
})
