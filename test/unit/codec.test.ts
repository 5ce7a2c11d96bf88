import { Packr } from 'msgpackr/pack'
import { describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import {
  ENTRY_HEADER_BYTES,
  RUN_HEADER_BYTES,
  sealRun,
  type EntryRun,
  type RunSpec,
} from '../../src/machines/entry-run.js'
import type {
  AppendEntries,
  ChangeMembership,
  Heartbeat,
  InstallSnapshot,
  Propose,
} from '../../src/machines/messages.js'
import { decodeMessage, encodeMessage } from '../../src/transport/codec.js'
import { DEFAULT_FRAME_LIMITS } from '../../src/transport/frame-limits.js'

const packr = new Packr({ useRecords: false })
const HEARTBEAT = 6
const APPEND_ENTRIES = 4

/** A header with a good checksum, whatever it says. */
function header(...fields: readonly unknown[]): Uint8Array {
  const packed = packr.pack(fields)
  const bytes = new Uint8Array(4 + packed.length)
  new DataView(bytes.buffer).setUint32(0, crc32(packed))
  bytes.set(packed, 4)
  return bytes
}

function decode(parts: readonly Uint8Array[], limits = {}) {
  return decodeMessage(parts, { ...DEFAULT_FRAME_LIMITS, ...limits }, crc32)
}

function refused(reason: RegExp): unknown {
  return expect.objectContaining({ malformed: expect.stringMatching(reason) as string })
}

function commandBytes(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(RUN_HEADER_BYTES + ENTRY_HEADER_BYTES + payload.length)
  new DataView(bytes.buffer).setUint32(RUN_HEADER_BYTES, payload.length)
  bytes.set(payload, RUN_HEADER_BYTES + ENTRY_HEADER_BYTES)
  return bytes
}

function run(spec: Partial<RunSpec>): EntryRun {
  const origin = { server: 1, nonce: 2, batch: 3 }
  const whole = { term: 3, firstIndex: 8, count: 1, previousChecksum: 0, clusterTime: 0, wallTime: 0, origin, ...spec }
  return sealRun(commandBytes(Uint8Array.of(1, 2, 3)), { kind: 'command', ...whole }, crc32)
}

function append(...runs: readonly EntryRun[]): AppendEntries {
  return { type: 'appendEntries', term: 3, prevLogIndex: 7, prevLogTerm: 2, commitIndex: 7, runs }
}

const heartbeat: Heartbeat = { type: 'heartbeat', term: 3, round: 9, commitIndex: 7, promiseMs: 150 }
const propose: Propose = {
  type: 'propose',
  term: 3,
  nonce: 1,
  batch: 2,
  count: 1,
  bytes: commandBytes(Uint8Array.of(1)),
}

describe('encoding', () => {
  it('takes runs and proposals into the frame as they lie in memory', () => {
    const one = run({})
    expect(encodeMessage(append(one), crc32)[1]).toBe(one.bytes)
    expect(encodeMessage(propose, crc32)[1]).toBe(propose.bytes)
  })

  it('never writes again into a header it has given away', () => {
    const frames = Array.from({ length: 2000 }, (_, round) => encodeMessage({ ...heartbeat, round }, crc32))
    expect(frames.map((frame) => decode(frame))).toEqual(frames.map((_, round) => ({ ...heartbeat, round })))
  })

  it('loads no native code', () => {
    const report = process.report.getReport() as { sharedObjects?: string[] }
    expect(report.sharedObjects?.filter((path) => path.includes('msgpackr')) ?? []).toEqual([])
  })
})

describe('a header is refused', () => {
  it('with another frame format, group or message type, each by its name', () => {
    expect(decode([header(2, 0, HEARTBEAT, 3)])).toEqual(refused(/frame format 2 is not known here/))
    expect(decode([header(1, 5, HEARTBEAT, 3)])).toEqual(refused(/group 5 is not known/))
    expect(decode([header(1, 0, 99, 3)])).toEqual(refused(/message type 99 is not known/))
  })

  it('when it holds anything but numbers, booleans and nil', () => {
    for (const value of ['text', [1], { a: 1 }, new Date(0), /x/, new Uint8Array(3), new Error('x'), new Map()]) {
      expect(decode([header(1, 0, HEARTBEAT, value)])).toEqual(refused(/not an array of numbers/))
    }
  })

  it('when it is missing, empty, too long or damaged', () => {
    expect(decode([])).toEqual(refused(/without a header/))
    expect(decode([new Uint8Array()])).toEqual(refused(/header of 0 bytes/))
    expect(decode([header(1, 0, HEARTBEAT, ...new Array<number>(1200).fill(0))])).toEqual(refused(/longer than 1024/))
    const damaged = header(1, 0, HEARTBEAT, 3, 9, 7, 150)
    damaged[9]! ^= 1
    expect(decode([damaged])).toEqual(refused(/does not match its checksum/))
  })

  it('with an integer that 53 bits cannot hold, and read when they can', () => {
    expect(decode([header(1, 0, HEARTBEAT, 2n ** 63n, 9, 7, 150)])).toEqual(refused(/^heartbeat: term is/))
    expect(decode([header(1, 0, HEARTBEAT, 3n, 9n, 2n ** 40n, 150)])).toEqual({ ...heartbeat, commitIndex: 2 ** 40 })
  })

  it('with a field that is missing, nil, fractional, negative or of another type', () => {
    for (const term of [null, 1.5, -1, 0, true, Number.NaN]) {
      expect(decode([header(1, 0, HEARTBEAT, term, 9, 7, 150)])).toEqual(refused(/^heartbeat: term is/))
    }
    expect(decode([header(1, 0, HEARTBEAT, 3)])).toEqual(refused(/round is undefined/))
    expect(decode([header(1, 0, HEARTBEAT, 3, 9, 7, Infinity)])).toEqual(refused(/promiseMs is Infinity/))
  })

  it('but not for fields that a later version has added at its end', () => {
    expect(decode([header(1, 0, HEARTBEAT, 3, 9, 7, 150, 42, true)])).toEqual(heartbeat)
  })
})

describe('a position in the log is refused', () => {
  it('with a term at index 0, or with none above it', () => {
    expect(decode([header(1, 0, 0, 5, 0, 3)])).toEqual(refused(/lastLogIndex is 0 with lastLogTerm 3/))
    expect(decode([header(1, 0, 0, 5, 3, 0)])).toEqual(refused(/lastLogIndex is 3 with lastLogTerm 0/))
  })

  it('with a term above that of the message', () => {
    expect(decode([header(1, 0, 0, 5, 3, 6)])).toEqual(refused(/lastLogTerm is 6/))
  })
})

describe('an append is refused', () => {
  it('unless its runs follow prevLogIndex and one another', () => {
    expect(decode(encodeMessage(append(run({ firstIndex: 9 })), crc32))).toEqual(
      refused(/begins at 9 where 8 comes next/),
    )
    const first = run({})
    const gap = run({ firstIndex: 10, previousChecksum: first.checksum })
    expect(decode(encodeMessage(append(first, gap), crc32))).toEqual(refused(/begins at 10 where 9 comes next/))
  })

  it('unless each run is chained to the run before it', () => {
    const stranger = run({ firstIndex: 9, previousChecksum: 1 })
    expect(decode(encodeMessage(append(run({}), stranger), crc32))).toEqual(refused(/run at 9 is not chained/))
  })

  it('when a term goes back, or is above that of the message', () => {
    expect(decode(encodeMessage(append(run({ term: 1 })), crc32))).toEqual(refused(/term 1 after one of term 2/))
    expect(decode(encodeMessage(append(run({ term: 4 })), crc32))).toEqual(refused(/term 4 in a message of term 3/))
  })

  it('when a byte of a run is damaged', () => {
    const parts = encodeMessage(append(run({})), crc32).map((part) => new Uint8Array(part))
    parts[1]![RUN_HEADER_BYTES + ENTRY_HEADER_BYTES]! ^= 1
    expect(decode(parts)).toEqual(refused(/does not match its checksum/))
  })

  it('with more runs or bytes than the limits allow, or another number of parts than it says', () => {
    const parts = encodeMessage(append(run({})), crc32)
    expect(decode(parts, { runsMax: 0 })).toEqual(refused(/number of runs is 1/))
    expect(decode(parts, { frameBytesMax: 50 })).toEqual(refused(/longer than 50/))
    expect(decode([...parts, parts[1]!])).toEqual(refused(/1 runs in 2 parts/))
    expect(decode([header(1, 0, APPEND_ENTRIES, 3, 7, 2, 7, 1)])).toEqual(refused(/1 runs in 0 parts/))
  })
})

describe('a proposal is refused', () => {
  it('when a byte of it is damaged', () => {
    const [head, bytes] = encodeMessage(propose, crc32)
    const damaged = new Uint8Array(bytes!)
    damaged[damaged.length - 1]! ^= 1
    expect(decode([head!, damaged])).toEqual(refused(/does not match its checksum/))
  })

  it('when its bytes are not as many commands as it says', () => {
    expect(decode(encodeMessage({ ...propose, count: 2 }, crc32))).toEqual(refused(/ends before its entry 2 of 2/))
    expect(decode(encodeMessage({ ...propose, bytes: new Uint8Array(3) }, crc32))).toEqual(refused(/entry 1 of 1/))
  })

  it('without its bytes, or with more parts', () => {
    const [head, bytes] = encodeMessage(propose, crc32)
    expect(decode([head!])).toEqual(refused(/in 0 parts/))
    expect(decode([head!, bytes!, bytes!])).toEqual(refused(/in 2 parts/))
  })
})

const piece: InstallSnapshot = {
  type: 'installSnapshot',
  term: 3,
  snapshot: { index: 7, term: 2, byteLength: 10, checksum: 9 },
  offset: 4,
  bytes: Uint8Array.of(1, 2, 3),
}

describe('a piece of a snapshot is refused', () => {
  it('when a byte of it is damaged', () => {
    const [head] = encodeMessage(piece, crc32)
    expect(decode([head!, Uint8Array.of(1, 2, 4)])).toEqual(refused(/body does not match its checksum/))
  })

  it('without its bytes, with others, or with more parts', () => {
    const [head, bytes] = encodeMessage(piece, crc32)
    expect(decode([head!])).toEqual(refused(/3 bytes in 0 parts/))
    expect(decode([head!, Uint8Array.of(1)])).toEqual(refused(/1 bytes, not 3/))
    expect(decode([head!, bytes!, bytes!])).toEqual(refused(/3 bytes in 2 parts/))
  })

  it('when it lies beyond the end of the snapshot', () => {
    expect(decode(encodeMessage({ ...piece, offset: 8 }, crc32))).toEqual(
      refused(/3 bytes from 8 on are more than the 10/),
    )
    expect(decode(encodeMessage({ ...piece, offset: 11 }, crc32))).toEqual(refused(/offset is 11/))
  })

  it('of a snapshot that cannot be', () => {
    for (const wrong of [{ index: 0 }, { term: 0 }, { term: 4 }, { byteLength: 0 }, { checksum: -1 }]) {
      const snapshot = { ...piece.snapshot, ...wrong }
      expect(decode(encodeMessage({ ...piece, snapshot }, crc32))).toEqual(refused(/snapshot \w+ is/))
    }
  })

  it('but not when it has no bytes: that is an offer', () => {
    const offer = { ...piece, offset: 0, bytes: new Uint8Array() }
    expect(encodeMessage(offer, crc32)).toHaveLength(1)
    expect(decode(encodeMessage(offer, crc32))).toEqual(offer)
  })
})

const change: ChangeMembership = {
  type: 'changeMembership',
  term: 3,
  nonce: 1,
  id: 2,
  change: {
    learners: [{ id: 4, address: 'host:4', storeId: 'disk 4', promotable: true }],
    promote: [5],
    remove: [6],
    addresses: [{ id: 7, address: 'host:7' }],
    force: false,
  },
}

/** A change's frame with any JSON as its body, its length and checksum right. */
function changeFrame(body: unknown): Uint8Array[] {
  const bytes = new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body))
  return [header(1, 0, 15, 3, 1, 2, bytes.length, crc32(bytes)), bytes]
}

describe('a change of membership is refused', () => {
  const many = (count: number) => Array.from({ length: count }, (_, at) => ({ id: at + 1, address: 'a:1' }))

  it('when a list is missing, holds what is no member, or more than 1,024', () => {
    for (const list of ['learners', 'promote', 'remove', 'addresses']) {
      for (const wrong of [undefined, 7, {}, [0], [{ id: 1 }], [null]]) {
        expect(decode(changeFrame({ ...change.change, [list]: wrong }))).toEqual(refused(/a change has no list of/))
      }
    }
    expect(decode(changeFrame({ ...change.change, learners: many(1025) }))).toEqual(refused(/list of learners/))
    expect(decode(changeFrame({ ...change.change, learners: many(1024) }))).not.toHaveProperty('malformed')
  })

  it('with an address that is empty, too long, or would break a line of the log', () => {
    for (const address of ['', 'x'.repeat(257), 'a\nb', '\ud800']) {
      expect(decode(changeFrame({ ...change.change, addresses: [{ id: 7, address }] }))).toEqual(refused(/addresses/))
      expect(decode(changeFrame({ ...change.change, learners: [{ id: 7, address }] }))).toEqual(refused(/learners/))
    }
  })

  it('when its body is no JSON, is damaged, or does not say whether it is forced', () => {
    expect(decode(changeFrame('{'))).toEqual(refused(/not a JSON object/))
    expect(decode(changeFrame({ ...change.change, force: 1 }))).toEqual(refused(/whether it is forced/))
    const [head, body] = encodeMessage(change, crc32)
    expect(decode([head!, body!.map((byte, at) => (at === 3 ? byte ^ 1 : byte))])).toEqual(refused(/its checksum/))
  })

  it('but not for fields that a later version has added', () => {
    const learners = change.change.learners.map((learner) => ({ ...learner, zone: 'north' }))
    expect(decode(changeFrame({ ...change.change, learners, reason: 'why not' }))).toEqual(change)
  })
})

it('the refusal of a change is cut to 500 printable characters', () => {
  const reply = { type: 'changeMembershipReply', term: 3, nonce: 1, id: 2, index: undefined } as const
  const decoded = decode(encodeMessage({ ...reply, refusal: `no\n${'x'.repeat(1000)}` }, crc32))
  expect(decoded).toEqual({ ...reply, refusal: `no?${'x'.repeat(497)}` })
})

it('a message is refused where a protocol version is spoken that does not know it', () => {
  expect(decodeMessage(encodeMessage(piece, crc32), DEFAULT_FRAME_LIMITS, crc32, 1)).toEqual(
    refused(/installSnapshot is no message of protocol version 1/),
  )
})

it('a message without a body is refused with further parts', () => {
  expect(decode([...encodeMessage(heartbeat, crc32), Uint8Array.of(1)])).toEqual(refused(/1 parts too many/))
})
