import fc from 'fast-check'
import { Packr } from 'msgpackr/pack'
import { describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import type { Message } from '../../src/machines/messages.js'
import { decodeMessage, encodeMessage } from '../../src/transport/codec.js'
import { decodeHandshake, encodeHandshake } from '../../src/transport/handshake.js'
import { decodeJoinAnswer, encodeJoinAnswer, joinOf } from '../../src/transport/join.js'
import type { JoinAnswer } from '../../src/transport/ports.js'
import { PROTOCOL_VERSIONS } from '../../src/transport/protocol-versions.js'
import { DEFAULT_FRAME_LIMITS as LIMITS } from '../../src/transport/frame-limits.js'
import { anyMessage, member, messages } from './message-arbitrary.js'

const packr = new Packr({ useRecords: false })

const decode = (parts: readonly Uint8Array[]) => decodeMessage(parts, LIMITS, crc32)
const copy = (parts: readonly Uint8Array[]) => parts.map((part) => new Uint8Array(part))

/** Bytes as they are equal whatever holds them: what Node delivers is a Buffer. */
function plain(message: Message): Message {
  if (message.type === 'propose' || message.type === 'installSnapshot')
    return { ...message, bytes: new Uint8Array(message.bytes) }
  if (message.type !== 'appendEntries') return message
  return { ...message, runs: message.runs.map((run) => ({ ...run, bytes: new Uint8Array(run.bytes) })) }
}

/** Whatever the bytes: refused with a reason, or a message that means the same when sent on. */
function refusesOrUnderstands(parts: readonly Uint8Array[]): void {
  const message = decode(parts)
  if ('malformed' in message) expect(message.malformed).toMatch(/./)
  else expect(decode(copy(encodeMessage(message, crc32)))).toEqual(message)
}

/** A header as a frame carries it, checksum and all. */
function header(value: unknown): Uint8Array {
  const packed = packr.pack(value)
  const bytes = new Uint8Array(4 + packed.length)
  new DataView(bytes.buffer).setUint32(0, crc32(packed))
  bytes.set(packed, 4)
  return bytes
}

describe('a frame', () => {
  for (const [type, arbitrary] of Object.entries(messages)) {
    it(`carries every ${type} unchanged`, () => {
      fc.assert(
        fc.property(arbitrary, (message) => {
          const decoded = decode(copy(encodeMessage(message, crc32)))
          expect('malformed' in decoded ? decoded : plain(decoded)).toEqual(plain(message))
        }),
      )
    })
  }

  it('with any one bit flipped is refused', () => {
    const flip = fc.tuple(anyMessage, fc.nat(), fc.nat(7)).map(([message, at, bit]) => {
      const parts = copy(encodeMessage(message, crc32))
      let place = at % parts.reduce((sum, part) => sum + part.length, 0)
      const part = parts.find((one) => place < one.length || ((place -= one.length), false))!
      part[place]! ^= 1 << bit
      return parts
    })
    fc.assert(
      fc.property(flip, (parts) => {
        expect(decode(parts)).toHaveProperty('malformed')
      }),
    )
  })

  it('cut short anywhere, or with parts lost, doubled or added, is refused', () => {
    const damage = fc.tuple(anyMessage, fc.nat(), fc.constantFrom('cut', 'lose', 'double', 'add'), fc.uint8Array())
    fc.assert(
      fc.property(damage, ([message, at, how, extra]) => {
        const parts = copy(encodeMessage(message, crc32))
        const place = at % parts.length
        if (how === 'cut') parts[place] = parts[place]!.subarray(0, at % parts[place]!.length)
        if (how === 'lose') parts.splice(place, 1)
        if (how === 'double') parts.splice(place, 0, parts[place]!)
        if (how === 'add') parts.push(extra)
        expect(decode(parts)).toHaveProperty('malformed')
      }),
    )
  })

  it('of arbitrary bytes is refused', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 200 })), refusesOrUnderstands))
  })

  it('whose header holds arbitrary values, well packed and summed, is refused or understood', () => {
    const scalar = fc.oneof(
      fc.nat(20),
      fc.maxSafeInteger(),
      fc.boolean(),
      fc.constant(null),
      fc.double(),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    )
    const fields = fc.tuple(fc.nat(18), fc.array(scalar, { maxLength: 9 })).map(([type, rest]) => [1, 0, type, ...rest])
    const value = fc.oneof(
      { weight: 4, arbitrary: fields },
      {
        weight: 1,
        arbitrary: fc.anything({ withDate: true, withMap: true, withSet: true, withTypedArray: true }).filter(packable),
      },
    )
    fc.assert(
      fc.property(value, fc.array(fc.uint8Array(), { maxLength: 2 }), (fieldsOrNot, rest) => {
        refusesOrUnderstands([header(fieldsOrNot), ...rest])
      }),
      { numRuns: 1000 },
    )
  })

  it('whose header is arbitrary bytes with the right checksum is refused or understood', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.boolean(), (bytes, array) => {
        const packed = array ? Uint8Array.of(0x90 | Math.min(15, bytes.length), ...bytes) : bytes
        const frame = new Uint8Array(4 + packed.length)
        new DataView(frame.buffer).setUint32(0, crc32(packed))
        frame.set(packed, 4)
        refusesOrUnderstands([frame])
      }),
      { numRuns: 1000 },
    )
  })
})

describe('a handshake', () => {
  it('of arbitrary text or JSON is refused or understood', () => {
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc.jsonValue().map((value) => JSON.stringify({ kind: 'hello', id: value })),
    )
    fc.assert(
      fc.property(text, (said) => {
        const decoded = decodeHandshake(said)
        if ('malformed' in decoded) expect(decoded.malformed).toMatch(/./)
        else expect(decodeHandshake(JSON.stringify(decoded))).toEqual(decoded)
      }),
    )
  })
})

describe('a wish to join', () => {
  const request = fc.record({ clusterId: fc.constantFrom(null, 'cluster'), member })
  const answer: fc.Arbitrary<JoinAnswer> = fc.oneof(
    fc.record({
      kind: fc.constant('accepted' as const),
      clusterId: fc.constantFrom(null, 'cluster'),
      members: fc.array(member, { maxLength: 5 }),
    }),
    member.map(({ address }) => ({ kind: 'redirect' as const, address })),
    member.map(({ address }) => ({ kind: 'refused' as const, reason: address })),
  )

  it('and its answer arrive as they were said', () => {
    fc.assert(
      fc.property(request, answer, (asked, answered) => {
        const join = joinOf(asked, PROTOCOL_VERSIONS)!
        expect(decodeHandshake(encodeHandshake(join))).toEqual({ ...join, ...asked })
        expect(decodeJoinAnswer(encodeJoinAnswer(answered, 2), PROTOCOL_VERSIONS)).toEqual(answered)
      }),
    )
  })

  it('answered with arbitrary JSON is refused or understood', () => {
    const said = fc.oneof(
      fc.json(),
      fc.record({
        kind: fc.constantFrom('accepted', 'redirect', 'refusal', 'refused'),
        version: fc.nat(4),
        address: fc.jsonValue(),
        reason: fc.jsonValue(),
        clusterId: fc.jsonValue(),
        members: fc.array(fc.oneof(member, fc.jsonValue())),
      }),
    )
    fc.assert(
      fc.property(said, (value) => {
        const text = typeof value === 'string' ? value : JSON.stringify(value)
        const decoded = decodeJoinAnswer(text, PROTOCOL_VERSIONS)
        if ('malformed' in decoded) expect(decoded.malformed).toMatch(/./)
        else expect(decodeJoinAnswer(encodeJoinAnswer(decoded, 2), PROTOCOL_VERSIONS)).toEqual(decoded)
      }),
    )
  })
})

function packable(value: unknown): boolean {
  try {
    return packr.pack(value).length > 0
  } catch {
    return false
  }
}
