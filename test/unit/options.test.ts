import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  callDefaults,
  type EngineOptions,
  parseAddress,
  validateCallOptions,
  validateOptions,
  validateReadOptions,
} from '../../src/options.js'

const THREE = [1, 2, 3].map((id) => ({ id, address: `127.0.0.1:${9080 + id}` }))

/** Options as a caller without types may give them. */
function resolve(options: Record<string, unknown>) {
  return validateOptions({ dataDir: './data', ...options })
}

function refusal(message: RegExp): unknown {
  return expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(message) as string })
}

afterEach(() => vi.restoreAllMocks())

describe("an engine's options", () => {
  it('need nothing but a directory: the rest has defaults', () => {
    const { log, ...options } = resolve({})
    expect(log).toBeTypeOf('function')
    expect(options).toMatchInlineSnapshot(`
      {
        "appendBytesMax": 1048576,
        "clockDriftBoundPercent": 10,
        "clusterId": undefined,
        "dataDir": "./data",
        "durability": "disk-first",
        "electionPriority": 0,
        "electionTimeoutMs": 1000,
        "forwardToLeader": true,
        "handOverWhenUnhealthy": true,
        "heartbeatIntervalMs": 100,
        "historyAgeMsMax": 600000,
        "historyBytesMax": 33554432,
        "historyEntriesMax": 100000,
        "id": 1,
        "inflightAppendsMax": 64,
        "inflightBytesMax": 8388608,
        "join": undefined,
        "joinAs": "promotable",
        "keyBytesMax": 65536,
        "linearizableReads": "quorum",
        "listen": undefined,
        "logEntriesKept": 10000,
        "logStore": undefined,
        "logTailBytesMax": 16777216,
        "lowDiskBytes": 67108864,
        "members": [
          {
            "address": "",
            "id": 1,
          },
        ],
        "outboxBytesMax": 33554432,
        "pendingBytesMax": 67108864,
        "pendingProposalsMax": 100000,
        "pendingReadsMax": 100000,
        "promotionAfterMs": 1000,
        "promotionLagEntries": 1000,
        "reconnectDelayMsMax": 2000,
        "reconnectDelayMsMin": 50,
        "requestBytesMax": 4194304,
        "requestTimeoutMs": 5000,
        "runBytesMax": 524288,
        "slowDiskMs": 500,
        "snapshotBytesPerSecond": 0,
        "snapshotChunkBytes": 262144,
        "snapshotEntries": 1000000,
        "snapshotIntervalMs": 0,
        "snapshotLogBytes": 268435456,
        "snapshotWindowChunks": 4,
        "stalledLoopMs": 500,
        "syncIntervalMs": 100,
        "uncommittedBytesMax": 67108864,
        "valueBytesMax": 1048576,
      }
    `)
  })

  it('are taken as given within their bounds', () => {
    const given = {
      id: 2,
      listen: '[::1]:9082',
      members: THREE,
      durability: 'mem-first',
      electionTimeoutMs: 300,
      logTailBytesMax: 0,
    }
    expect(resolve(given)).toMatchObject(given)
  })

  it('take undefined for not given', () => {
    expect(resolve({ id: undefined, members: undefined }).id).toBe(1)
  })

  it('of a lone server name it as the only member', () => {
    expect(resolve({ id: 7 }).members).toEqual([{ id: 7, address: '' }])
    expect(resolve({ id: 7, listen: 'localhost:9' }).members).toEqual([{ id: 7, address: 'localhost:9' }])
  })

  it('are refused with the name, the value given and what is allowed', () => {
    expect(() => resolve({ heartbeatIntervalMs: 0 })).toThrow(
      refusal(/^the option heartbeatIntervalMs is 0; it must be an integer from 1 to 200000$/),
    )
    expect(() => resolve({ dataDir: '' })).toThrow(refusal(/dataDir is ""; .* path/))
    expect(() => resolve({ dataDir: undefined })).toThrow(refusal(/dataDir is undefined/))
    expect(() => resolve({ dataDir: 'a\0b' })).toThrow(refusal(/dataDir/))
    expect(() => resolve({ id: 2 ** 32 })).toThrow(refusal(/id is 4294967296; .* 1 to 4294967295/))
    expect(() => resolve({ id: '1' })).toThrow(refusal(/id is "1"/))
    expect(() => resolve({ syncIntervalMs: NaN })).toThrow(refusal(/syncIntervalMs is NaN/))
    expect(() => resolve({ durability: 'disk' })).toThrow(
      refusal(/durability is "disk"; .*'disk-first' or 'mem-first'/),
    )
    expect(() => resolve({ forwardToLeader: 1 })).toThrow(refusal(/forwardToLeader is 1; .*true or false/))
    expect(() => resolve({ clusterId: 'two words' })).toThrow(refusal(/clusterId/))
    expect(() => resolve({ log: console })).toThrow(refusal(/log is .*a function/))
    expect(() => resolve({ keyBytesMax: null })).toThrow(refusal(/keyBytesMax is null/))
  })

  it('show any value in a refusal, briefly', () => {
    const cyclic: unknown[] = []
    cyclic.push(cyclic)
    expect(() => resolve({ id: cyclic })).toThrow(refusal(/id is an object that is no JSON/))
    expect(() => resolve({ id: 10n })).toThrow(refusal(/id is 10/))
    expect(() => resolve({ id: Symbol('x') })).toThrow(refusal(/id is Symbol\(x\)/))
    expect(() => resolve({ id: 'x'.repeat(1000) })).toThrow(refusal(/^.{1,200}$/))
  })

  it('that nobody knows are refused, with the one perhaps meant', () => {
    expect(() => resolve({ electionTimeout: 1 })).toThrow(
      refusal(/"electionTimeout"; did you mean electionTimeoutMs\?/),
    )
    expect(() => resolve({ DATADIR: 1 })).toThrow(refusal(/did you mean dataDir\?/))
    expect(() => resolve({ hartbeatIntervalMS: 1 })).toThrow(refusal(/did you mean heartbeatIntervalMs\?/))
    expect(() => resolve({ colour: 'red' })).toThrow(refusal(/"colour"; known are dataDir, id, listen/))
    expect(() => resolve({ constructor: 1 })).toThrow(refusal(/no "constructor"/))
  })

  it('must be an object', () => {
    const untyped = (value: unknown) => () => validateOptions(value as EngineOptions)
    expect(untyped(undefined)).toThrow(refusal(/the options are undefined; they must be an object/))
    expect(untyped('./data')).toThrow(refusal(/"\.\/data"/))
    expect(untyped([])).toThrow(refusal(/\[\]/))
  })

  it('hold the heartbeat to a third of the election timeout', () => {
    expect(resolve({ electionTimeoutMs: 300 }).heartbeatIntervalMs).toBe(100)
    expect(() => resolve({ electionTimeoutMs: 299 })).toThrow(
      refusal(/heartbeatIntervalMs is 100; at most 99 .*default 100/),
    )
  })

  it('hold the shortest reconnect delay to the longest', () => {
    expect(() => resolve({ reconnectDelayMsMax: 49 })).toThrow(refusal(/reconnectDelayMsMin is 50; at most 49/))
  })

  it('leave room everywhere for the longest command', () => {
    const valueBytesMax = 20 * 1024 * 1024
    expect(() => resolve({ valueBytesMax })).toThrow(
      refusal(/outboxBytesMax is 33554432; it must be at least 42008832/),
    )
    expect(resolve({ valueBytesMax, outboxBytesMax: 2 ** 26 }).valueBytesMax).toBe(valueBytesMax)
  })

  it('leave room everywhere for the longest transaction', () => {
    const requestBytesMax = 64 * 1024 * 1024
    const larger = { pendingBytesMax: 2 ** 27, uncommittedBytesMax: 2 ** 27, outboxBytesMax: 2 ** 27 }
    expect(() => resolve({ requestBytesMax })).toThrow(
      refusal(/pendingBytesMax is 67108864; it must be at least 67109056.*requestBytesMax/),
    )
    expect(resolve({ requestBytesMax, ...larger }).requestBytesMax).toBe(requestBytesMax)
  })

  it('write warnings and errors to the console when nobody else takes them', () => {
    const warn = vi.spyOn(console, 'warn').mockReturnValue()
    const { log } = resolve({})
    log({ level: 'info', message: 'quiet' })
    log({ level: 'warn', message: 'a torn tail was cut' })
    expect(warn.mock.calls).toEqual([['actorum: a torn tail was cut']])
  })
})

describe('members', () => {
  it('must name this server', () => {
    expect(() => resolve({ id: 4, listen: 'a:1', members: THREE })).toThrow(
      refusal(/must name this server, whose id is 4/),
    )
  })

  it('need a place to listen when they are more than one', () => {
    expect(() => resolve({ members: THREE })).toThrow(refusal(/listen is undefined; with 3 members/))
    expect(resolve({ members: THREE.slice(0, 1) }).members).toEqual(THREE.slice(0, 1))
  })

  it('are a list of ids and addresses, each once', () => {
    const members = (...list: unknown[]) => resolve.bind(undefined, { listen: 'a:1', members: list })
    const own = { id: 1, address: 'a:1' }
    expect(members()).toThrow(refusal(/1 to 64/))
    expect(members(own, 7)).toThrow(refusal(/members\[1\] is none/))
    expect(members(own, { id: 2 })).toThrow(refusal(/members\[1\] is none/))
    expect(members({ ...own, id: 0 })).toThrow(refusal(/members\[0\]\.id/))
    expect(members({ ...own, address: 'a' })).toThrow(refusal(/members\[0\]\.address/))
    expect(members({ ...own, voter: true })).toThrow(refusal(/members\[0\] also has "voter"/))
    expect(members(own, { ...own, address: 'b:1' })).toThrow(refusal(/members\[1\]\.id is another/))
    expect(members(own, { ...own, id: 2 })).toThrow(refusal(/members\[1\]\.address is another/))
    expect(() => resolve({ members: { length: 1 } })).toThrow(refusal(/a list/))
  })

  it('beside join name this server alone, and where others reach it', () => {
    const join = ['b:1']
    const own = { id: 1, address: 'proxy:1' }
    expect(resolve({ listen: 'a:1', join, members: [own] }).members).toEqual([own])
    expect(() => resolve({ listen: 'a:1', join, members: THREE })).toThrow(
      refusal(/join and members are both given; a server that joins may name only itself there/),
    )
    expect(() => resolve({ listen: 'a:1', join, members: [{ ...own, id: 2 }] })).toThrow(
      refusal(/must name this server, whose id is 1/),
    )
  })

  it.each(['0.0.0.0:9081', '[::]:9081', '[0:0:0:0:0:0:0:0]:9081', '[::ffff:0.0.0.0]:9081', '0:9081'])(
    'say where others reach a server that listens on %s: there they cannot',
    (listen) => {
      const members = [{ id: 7, address: 'a:1' }]
      expect(resolve({ id: 7, listen, members }).members).toEqual(members)
      expect(() => resolve({ id: 7, listen })).toThrow(
        refusal(/nobody can dial that; name the one .*, in members: \[{ id: 7, address: 'host:port' }\]/),
      )
      expect(() => resolve({ id: 7, listen, members: [{ id: 7, address: listen }] })).toThrow(
        refusal(/members\[0\]\.address is every address of a machine/),
      )
    },
  )

  it.each(['10.0.0.0:9081', '[::1]:9081', 'a0.0:1'])('may be left out by a server that listens on %s', (listen) => {
    expect(resolve({ listen }).members).toEqual([{ id: 1, address: listen }])
  })

  it('do not change with the list they came from', () => {
    const members = THREE.map((member) => ({ ...member }))
    const resolved = resolve({ listen: 'a:1', members })
    members.pop()
    Object.assign(members[0] ?? {}, { id: 9 })
    expect(resolved.members).toEqual(THREE)
  })
})

describe('an address', () => {
  it.each([
    ['127.0.0.1:9081', '127.0.0.1', 9081],
    ['[::1]:9081', '::1', 9081],
    ['[fe80::1%eth0]:1', 'fe80::1%eth0', 1],
    ['raft_1.example.com:65535', 'raft_1.example.com', 65535],
  ])('%s has a host and a port', (address, host, port) => {
    expect(parseAddress(address)).toEqual({ host, port })
  })

  it.each([
    '',
    'a',
    'a:',
    ':1',
    'a:0',
    'a:65536',
    'a:1x',
    'a b:1',
    '::1:9081',
    '[::1]',
    '[]:1',
    '[a]:1',
    'ws://a:1',
    'a:1\n',
  ])('%j is none', (address) => {
    expect(parseAddress(address)).toBeUndefined()
  })

  it.each([
    ['h', ':65535'],
    ['[::1%z', ']:9081'],
    ['[::', '1]:1'],
  ])('%s…%s is none where it is longer than other servers take', (begin, end) => {
    const ofLength = (length: number) => `${begin}${'0'.repeat(length - begin.length - end.length)}${end}`
    const members = (length: number) => [{ id: 1, address: ofLength(length) }]
    expect(resolve({ listen: ofLength(256), members: members(256) }).members).toEqual(members(256))
    expect(() => resolve({ listen: ofLength(257) })).toThrow(refusal(/listen/))
    expect(() => resolve({ listen: 'a:1', members: members(257) })).toThrow(refusal(/members\[0\]\.address/))
    expect(() => resolve({ listen: 'a:1', join: [ofLength(257)] })).toThrow(refusal(/join/))
  })
})

describe("a call's options", () => {
  const defaults = callDefaults({ requestTimeoutMs: 5000 })
  const untyped = (options: Record<string, unknown>) => () => validateReadOptions(options, defaults)

  it("are the engine's defaults when none are given, without a new object", () => {
    expect(validateCallOptions(undefined, defaults)).toBe(defaults)
    expect(validateReadOptions(undefined, defaults)).toBe(defaults)
    const freshness = { maxStalenessMs: Infinity, minRevision: 0 }
    expect(defaults).toEqual({ signal: undefined, timeoutMs: 5000, consistency: 'linearizable', ...freshness })
  })

  it('stand before the defaults', () => {
    const { signal } = new AbortController()
    expect(validateCallOptions({ signal }, defaults)).toEqual({ ...defaults, signal })
    expect(validateReadOptions({ timeoutMs: 0.5, consistency: 'lease' }, defaults)).toEqual({
      ...defaults,
      timeoutMs: 0.5,
      consistency: 'lease',
    })
  })

  it('are refused when they are not what they must be', () => {
    expect(untyped({ timeoutMs: 0 })).toThrow(refusal(/timeoutMs is 0; .*above 0/))
    expect(untyped({ timeoutMs: Infinity })).toThrow(refusal(/timeoutMs is Infinity/))
    expect(untyped({ timeoutMs: '5' })).toThrow(refusal(/timeoutMs is "5"/))
    expect(untyped({ signal: null })).toThrow(refusal(/signal is null; .*AbortSignal/))
    const listeners = { addEventListener: () => undefined, removeEventListener: () => undefined }
    for (const signal of [
      { aborted: false, addEventListener: 1, removeEventListener: 1 },
      { aborted: false, addEventListener: listeners.addEventListener },
      { ...listeners, aborted: undefined },
    ]) {
      expect(untyped({ signal })).toThrow(refusal(/must be an AbortSignal/))
    }
    expect(untyped({ signal: { ...listeners, aborted: false } })).not.toThrow()
    expect(untyped({ consistency: 'strong' })).toThrow(refusal(/consistency is "strong"; .*'lease'/))
    expect(untyped({ timeoutMS: 5 })).toThrow(refusal(/did you mean timeoutMs\?/))
  })

  it('of a write have no consistency', () => {
    const options: Record<string, unknown> = { consistency: 'lease' }
    expect(() => validateCallOptions(options, defaults)).toThrow(refusal(/no "consistency"/))
  })
})
