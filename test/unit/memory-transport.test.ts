import { describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import type { Message } from '../../src/machines/messages.js'
import { seededRandom } from '../../src/machines/time-and-chance.js'
import type { LinkFaults } from '../../src/transport/link-faults.js'
import { MemoryNetwork } from '../../src/transport/memory-network.js'
import type { MemoryTransport, MemoryTransportSpec } from '../../src/transport/memory-transport.js'
import { VirtualTime } from './virtual-time.js'

/** Servers on one network, and all that their handlers were told, in order. */
function cluster(
  ids: readonly number[],
  faults: Partial<LinkFaults> = {},
  seed = 1,
  specs: Readonly<Record<number, MemoryTransportSpec>> = {},
) {
  const clock = new VirtualTime()
  const network = new MemoryNetwork({ clock, random: seededRandom(seed), checksum: crc32 })
  network.setFaults(faults)
  const told: string[] = []
  const start = (id: number, nonce = id, spec = specs[id]): MemoryTransport => {
    const transport = network.transport(id, spec)
    const tell = (text: string) => void told.push(`${id} ${text}`)
    transport.setPeers(ids.map((peer) => ({ id: peer, address: `memory:${peer}` })))
    transport.start(
      { id, clusterId: 'cluster', storeId: `store of ${id}`, nonce },
      {
        message: (from, message) => tell(`got ${roundOf(message)} from ${from}`),
        peerUp: (peer, incarnation) => tell(`up ${peer} (${incarnation})`),
        peerDown: (peer) => tell(`down ${peer}`),
        joinAsked: ({ member }) => tell(`asked by ${member.id}`),
        strangerAt: (address) => tell(`stranger at ${address}`),
        peerDropped: (peer) => tell(`dropped ${peer}`),
        notice: (text) => tell(`notice ${text}`),
      },
      (error) => expect(error).toBeUndefined(),
    )
    return transport
  }
  const transports = new Map(ids.map((id) => [id, start(id)]))
  clock.turn()
  const send = (from: number, to: number, round: number) => transports.get(from)!.send(to, heartbeat(round))
  const heard = () => told.splice(0)
  expect(heard().length).toBe(ids.length * (ids.length - 1))
  return { clock, network, start, transports, send, heard }
}

function heartbeat(round: number): Message {
  return { type: 'heartbeat', term: 1, round, commitIndex: 0, promiseMs: 0 }
}

function roundOf(message: Message): number | string {
  return message.type === 'heartbeat' ? message.round : message.type
}

const range = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

describe('a link in memory', () => {
  it('without faults delivers at the end of the turn, time standing still', () => {
    const { clock, send, heard } = cluster([1, 2])
    send(1, 2, 1)
    expect(heard()).toEqual([])
    clock.turn()
    expect(heard()).toEqual(['2 got 1 from 1'])
    expect(clock.now()).toBe(0)
  })

  it('delivers after its delay', () => {
    const { clock, send, heard } = cluster([1, 2], { delayMs: 10 })
    send(1, 2, 1)
    clock.advance(9)
    expect(heard()).toEqual([])
    clock.advance(1)
    expect(heard()).toEqual(['2 got 1 from 1'])
  })

  it('keeps the order of sending when its delay varies or is taken away', () => {
    const { clock, network, send, heard } = cluster([1, 2], { delayMs: [0, 50] })
    for (const round of range(100)) {
      send(1, 2, round)
      clock.advance(1)
    }
    network.setFaults({})
    send(1, 2, 100)
    clock.advance(50)
    expect(heard()).toEqual(range(101).map((round) => `2 got ${round} from 1`))
  })

  it('loses, doubles and reorders when it is told to', () => {
    const faults = { loss: 0.2, duplication: 0.2, reordering: 0.2 }
    const { clock, send, heard } = cluster([1, 2], faults)
    for (const round of range(1000)) send(1, 2, round)
    clock.advance(100)
    const rounds = heard().map((text) => Number(text.split(' ')[2]))
    const distinct = new Set(rounds)
    expect(distinct.size).toBeGreaterThan(700)
    expect(distinct.size).toBeLessThan(900)
    expect(rounds.length).toBeGreaterThan(distinct.size + 50)
    expect(rounds).not.toEqual([...rounds].sort((a, b) => a - b))
  })

  it('does the same again from the same seed', () => {
    const story = (seed: number) => {
      const faults = { delayMs: [1, 9], loss: 0.1, duplication: 0.1, reordering: 0.1, corruption: 0.1 } as const
      const { clock, send, heard } = cluster([1, 2, 3], faults, seed)
      for (const round of range(300)) {
        send(1 + (round % 3), 1 + ((round + 1) % 3), round)
        clock.advance(1)
      }
      return heard()
    }
    expect(story(7)).toEqual(story(7))
    expect(story(7)).not.toEqual(story(8))
  })

  it('corrupts a frame so that the receiver refuses it and the connection is made anew', () => {
    const { clock, network, send, heard } = cluster([1, 2])
    network.setLinkFaults(1, 2, { corruption: 1 })
    send(1, 2, 1)
    send(1, 2, 2)
    clock.turn()
    expect(heard()).toEqual([
      '2 notice a malformed frame from server 1 closed its connection: a frame header does not match its checksum',
      '1 down 2',
      '1 up 2 (2)',
    ])
    network.setFaults({})
    send(1, 2, 3)
    clock.turn()
    expect(heard()).toEqual(['2 got 3 from 1'])
  })
})

describe('a cut in memory', () => {
  it('that is silent swallows one direction and tells nobody', () => {
    const { clock, network, send, heard } = cluster([1, 2])
    network.cut(1, 2, 'silent')
    send(1, 2, 1)
    send(2, 1, 2)
    clock.advance(1000)
    expect(heard()).toEqual(['1 got 2 from 2'])
  })

  it('swallows what is on its way', () => {
    const { clock, network, send, heard } = cluster([1, 2], { delayMs: 10 })
    send(1, 2, 1)
    network.cut(1, 2, 'silent')
    clock.advance(20)
    expect(heard()).toEqual([])
  })

  it('that is noticed takes the peer down until it is mended', () => {
    const { clock, network, send, heard } = cluster([1, 2])
    network.cut(1, 2, 'noticed')
    clock.turn()
    send(1, 2, 1)
    send(2, 1, 2)
    clock.turn()
    network.mend(1, 2)
    clock.turn()
    expect(heard()).toEqual(['1 down 2', '1 dropped 2', '1 got 2 from 2', '1 up 2 (2)'])
  })

  it('that is silent hides a restart until it is mended', () => {
    const { clock, network, start, transports, send, heard } = cluster([1, 2])
    network.isolate(2, 'silent')
    transports.get(2)!.stop(() => undefined)
    clock.turn()
    const again = start(2, 22)
    clock.turn()
    send(1, 2, 1)
    again.send(1, heartbeat(2))
    clock.turn()
    expect(heard()).toEqual(['2 dropped 1'])
    network.heal()
    clock.turn()
    expect(heard().sort()).toEqual(['1 down 2', '1 up 2 (22)', '2 up 1 (1)'])
  })

  it('parts the groups of a partition, and leaves each group whole', () => {
    const { clock, network, send, heard } = cluster([1, 2, 3])
    network.partition([[1, 2], [3]], 'silent')
    send(1, 2, 1)
    send(2, 3, 2)
    send(3, 1, 3)
    clock.turn()
    expect(heard()).toEqual(['2 got 1 from 1'])
    network.heal()
    send(3, 1, 4)
    clock.turn()
    expect(heard()).toEqual(['1 got 4 from 3'])
  })
})

describe('a server in memory', () => {
  it('loses what is on its way to and from it when it stops', () => {
    const { clock, start, transports, send, heard } = cluster([1, 2], { delayMs: 10 })
    send(1, 2, 1)
    send(2, 1, 2)
    transports.get(2)!.stop(() => undefined)
    clock.advance(1)
    start(2, 22)
    clock.advance(20)
    expect(heard().sort()).toEqual(['1 down 2', '1 up 2 (22)', '2 up 1 (1)'])
  })

  it('is refused a second transport while it has one running', () => {
    const { network, heard } = cluster([1, 2])
    const identity = { id: 1, clusterId: 'cluster', storeId: 'store of 1', nonce: 5 }
    const handler = {
      message: () => undefined,
      peerUp: () => undefined,
      peerDown: () => undefined,
      joinAsked: () => undefined,
      strangerAt: () => undefined,
      peerDropped: () => undefined,
      notice: () => undefined,
    }
    const errors: (Error | undefined)[] = []
    network.transport(1).start(identity, handler, (error) => errors.push(error))
    expect(errors).toMatchObject([{ code: 'TRANSPORT_FAILED' }])
    expect(errors[0]?.message).toContain('server 1')
    expect(heard()).toEqual([])
  })
})

const PIECE: Message = {
  type: 'installSnapshot',
  term: 1,
  snapshot: { index: 1, term: 1, byteLength: 9, checksum: 0 },
  offset: 0,
  bytes: Uint8Array.of(1),
}

describe('a server in memory that speaks an older protocol version', () => {
  const old = { 2: { protocolVersions: { min: 1, max: 1 } } }

  it('takes part, and is not sent what it does not know: a notice says so, once', () => {
    const { clock, transports, send, heard } = cluster([1, 2, 3], {}, 1, old)
    for (const to of [2, 3, 2]) transports.get(1)!.send(to, PIECE)
    send(1, 2, 1)
    send(2, 1, 2)
    clock.turn()
    expect(heard().sort()).toEqual([
      '1 got 2 from 2',
      expect.stringMatching(/^1 notice server 2 speaks protocol version 1: what that version does not know/),
      '2 got 1 from 1',
      '3 got installSnapshot from 1',
    ])
  })

  it('is refused when no version is common, with the versions', () => {
    const { clock, network, start, transports, heard } = cluster([1, 2])
    transports.get(2)!.stop(() => undefined)
    clock.turn()
    heard()
    start(2, 22, { protocolVersions: { min: 3, max: 4 } })
    clock.turn()
    expect(network.connection(1, 2)).toBeUndefined()
    const reason = 'protocol versions 1 to 2 include none of 3 to 4, spoken here'
    expect(heard()).toContain(`1 notice no connection to server 2: ${reason}`)
  })
})

describe('a peer in memory that moved', () => {
  it('is down until it is dialled where it is', () => {
    const { clock, transports, heard } = cluster([1, 2], {}, 1, { 2: { address: 'memory:2' } })
    transports.get(1)!.setPeers([{ id: 2, address: 'elsewhere' }])
    clock.turn()
    expect(heard()).toEqual(['1 down 2'])
    transports.get(1)!.setPeers([{ id: 2, address: 'memory:2' }])
    clock.turn()
    expect(heard()).toEqual(['1 up 2 (2)'])
  })
})

describe('a wish to join in memory', () => {
  const ASKED_MS_MAX = 10_000

  /** Server 1 asks server 2; what comes of it is told. */
  function asking(faults: Partial<LinkFaults> = {}) {
    const made = cluster([1, 2], faults)
    const outcomes: string[] = []
    const request = { clusterId: null, member: { id: 1, address: 'memory:1' } }
    made.transports.get(1)!.ask('memory:2', request, (error, answer) => {
      outcomes.push(error === undefined ? answer.kind : error.message)
    })
    return { ...made, outcomes }
  }

  it('arrives after the delay of its link', () => {
    const { clock, heard } = asking({ delayMs: 10 })
    clock.advance(9)
    expect(heard()).toEqual([])
    clock.advance(1)
    expect(heard()).toEqual(['2 asked by 1'])
  })

  it('that nobody answers, or that is lost, fails after ten seconds', () => {
    for (const faults of [{}, { loss: 1 }]) {
      const { clock, outcomes } = asking(faults)
      clock.advance(ASKED_MS_MAX - 1)
      expect(outcomes).toEqual([])
      clock.advance(1)
      expect(outcomes).toEqual([expect.stringMatching(/in time/)])
    }
  })

  it('fails at once when the connection breaks, or what it carries is damaged', () => {
    const { clock, network, outcomes } = asking()
    clock.turn()
    network.cut(2, 1, 'noticed')
    clock.turn()
    expect(outcomes).toEqual([expect.stringMatching(/closed the connection/)])
    const damaged = asking({ corruption: 1 })
    damaged.clock.turn()
    expect(damaged.outcomes).toEqual([expect.stringMatching(/closed the connection/)])
  })

  it('waits in vain behind a cut that nobody notices', () => {
    const { clock, network, outcomes } = asking({ delayMs: 10 })
    network.cut(1, 2, 'silent')
    clock.advance(ASKED_MS_MAX - 1)
    expect(outcomes).toEqual([])
    clock.advance(1)
    expect(outcomes).toEqual([expect.stringMatching(/did not answer in time/)])
  })
})
