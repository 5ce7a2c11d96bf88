import { describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import { ENTRY_HEADER_BYTES, RUN_HEADER_BYTES, sealRun } from '../../src/machines/entry-run.js'
import type { Message } from '../../src/machines/messages.js'
import { decodeMessage, encodeMessage } from '../../src/transport/codec.js'
import { DEFAULT_FRAME_LIMITS } from '../../src/transport/frame-limits.js'

function commandBytes(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(RUN_HEADER_BYTES + ENTRY_HEADER_BYTES + payload.length)
  new DataView(bytes.buffer).setUint32(RUN_HEADER_BYTES, payload.length)
  bytes.set(payload, RUN_HEADER_BYTES + ENTRY_HEADER_BYTES)
  return bytes
}

const origin = { server: 1, nonce: 2, batch: 3 }
const place = { term: 3, firstIndex: 8, count: 1, previousChecksum: 0xdeadbeef, clusterTime: 1000, wallTime: 2 ** 41 }
const GOLDEN_RUN = sealRun(commandBytes(Uint8Array.of(1, 2, 3)), { kind: 'command', ...place, origin }, crc32)

/** Every message of protocol version 1 with the parts of its frame, as servers of that version write and read them. */
const VERSION_1: readonly (readonly [Message, readonly string[]])[] = [
  [{ type: 'preVote', term: 3, lastLogIndex: 8, lastLogTerm: 2 }, ['feb91aa096010000030802']],
  [{ type: 'preVoteReply', term: 3, granted: true }, ['e98ba51d9501000103c3']],
  [
    { type: 'requestVote', term: 3, lastLogIndex: 2 ** 40, lastLogTerm: 2, leadershipTransfer: true },
    ['dd9e92ed9701000203cb427000000000000002c3'],
  ],
  [{ type: 'requestVoteReply', term: 0, granted: false }, ['b62512269501000300c2']],
  [
    { type: 'appendEntries', term: 3, prevLogIndex: 7, prevLogTerm: 2, commitIndex: 7, runs: [GOLDEN_RUN] },
    [
      '21ca8656980100040307020701',
      '01020000000000004008000000000000402000000000000000000001deadbeef408f4000000000004280000000000000' +
        '0000000100000002400800000000000000000008bc2a3ff10000000300010203',
    ],
  ],
  [{ type: 'appendEntriesReply', term: 3, success: true, matchIndex: 8 }, ['01bc0d099601000503c308']],
  [
    { type: 'appendEntriesReply', term: 300, success: false, prevLogIndex: 70000, conflictTerm: 0, conflictIndex: 9 },
    ['aa60202e98010005cd012cc2ce000111700009'],
  ],
  [
    { type: 'heartbeat', term: 3, round: 9, commitIndex: 7, promiseMs: 912.5 },
    ['85111a4397010006030907cb408c840000000000'],
  ],
  [{ type: 'heartbeatReply', term: 3, round: 9, lastLogIndex: 8 }, ['9aa0fa4696010007030908']],
  [{ type: 'timeoutNow', term: 3 }, ['0bc8ca1a9401000803']],
  [{ type: 'readIndex', term: 3, nonce: 0xfedcba98, id: 5, lease: false }, ['f65ddd0c9701000903cefedcba9805c2']],
  [{ type: 'readIndexReply', term: 3, nonce: 7, id: 5, index: 8 }, ['c8f6b4889701000a03070508']],
  [{ type: 'readIndexReply', term: 3, nonce: 7, id: 6, index: undefined }, ['7664adc99701000a030706c0']],
  [
    { type: 'propose', term: 3, nonce: 7, batch: 4, count: 1, bytes: commandBytes(Uint8Array.of(9)) },
    [
      '960aac6e9801000b03070401ce38958279',
      '000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000' +
        '000000000000000000000000000000000000000000000000000000010009',
    ],
  ],
  [{ type: 'proposeReply', term: 3, nonce: 7, batch: 4, refused: 'busy' }, ['2771c8cd9701000c03070401']],
]

const hex = (part: Uint8Array): string => Array.from(part, (byte) => byte.toString(16).padStart(2, '0')).join('')
const bytesOf = (text: string): Uint8Array => Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16))

describe('the wire of protocol version 1', () => {
  for (const [message, parts] of VERSION_1) {
    it(`is what it was for ${message.type} of term ${message.term}`, () => {
      expect(encodeMessage(message, crc32).map(hex)).toEqual(parts)
      expect(decodeMessage(parts.map(bytesOf), DEFAULT_FRAME_LIMITS, crc32, 1)).toEqual(message)
    })
  }
})
