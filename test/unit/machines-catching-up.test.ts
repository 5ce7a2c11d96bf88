import { describe, expect, it } from 'vitest'
import { RUN_HEADER_BYTES, type EntryRun } from '../../src/machines/entry-run.js'
import { invariant } from '../../src/machines/invariant.js'
import type { LogIndex } from '../../src/machines/types.js'
import {
  accepted,
  batch,
  elected,
  heartbeatReply,
  type Machine,
  readsIn,
  rejected,
  runAfter,
  SETTINGS,
} from '../machine-harness.js'

/** In one run, which is one piece. */
const PIECE_ENTRIES = 20
const PIECES = 5
const LAST = PIECES * PIECE_ENTRIES
/** The leader's term: that of its log is the one before. */
const TERM = 2

function log(): readonly EntryRun[] {
  const runs: EntryRun[] = []
  while (runs.length < PIECES) runs.push(runAfter(runs.at(-1), 1, PIECE_ENTRIES))
  return runs
}

/** Where the next piece for server 3 begins; undefined where none is read. */
const nextPieceIn = (effects: Parameters<typeof readsIn>[0]): LogIndex | undefined =>
  readsIn(effects).find(({ peer }) => peer === 3)?.from

/** A leader whose server 2 has all and whose server 3 has nothing of what is on disk alone; 3 has been sent a piece. */
function catchingUp(): Machine {
  const machine = elected({ entries: log(), settings: { ...SETTINGS, appendBytesMax: RUN_HEADER_BYTES } })
  machine.completeWrites()
  machine.receive(2, accepted(TERM, LAST + 1))
  const [request] = readsIn(machine.receive(3, rejected(TERM, LAST, 0, 1)))
  invariant(request !== undefined, 'what server 3 lacks is read from disk')
  machine.completeRead(request)
  return machine
}

let batches = 0

/** So many writes, which server 2 and the leader's own disk make committed. */
function write(machine: Machine, count = 1): ReturnType<Machine['propose']> {
  const effects = machine.propose(batch(++batches, count))
  machine.completeWrites()
  machine.receive(2, accepted(TERM, machine.context.log.lastIndex))
  return effects
}

describe('a peer that gets entries from disk', () => {
  it('gets the next ones as soon as it has answered, while nobody writes', () => {
    const machine = catchingUp()
    machine.advance(SETTINGS.heartbeatIntervalMs)
    for (let piece = 1; piece < PIECES; piece++) {
      const [request] = readsIn(machine.receive(3, accepted(TERM, piece * PIECE_ENTRIES)))
      expect(request?.from).toBe(piece * PIECE_ENTRIES + 1)
      machine.completeRead(request ?? expect.fail())
    }
  })

  it('is given a rest while clients write, as long as 16 MiB/s leave', () => {
    const machine = catchingUp()
    write(machine)
    expect(nextPieceIn(machine.receive(3, accepted(TERM, PIECE_ENTRIES)))).toBeUndefined()
    expect(nextPieceIn(write(machine))).toBeUndefined()
    // A piece of less than a kilobyte takes less than a millisecond of these.
    machine.advance(1)
    expect(nextPieceIn(write(machine))).toBe(PIECE_ENTRIES + 1)
  })

  it('comes nearer however much clients write: it rests until half of what it was sent has come in', () => {
    const machine = catchingUp()
    write(machine, PIECE_ENTRIES / 2 - 1)
    expect(nextPieceIn(machine.receive(3, accepted(TERM, PIECE_ENTRIES)))).toBeUndefined()
    expect(nextPieceIn(write(machine))).toBe(PIECE_ENTRIES + 1)
  })

  it('gets on by its own answers to heartbeats when clients stop writing', () => {
    const machine = catchingUp()
    write(machine)
    machine.receive(3, accepted(TERM, PIECE_ENTRIES))
    machine.advance(SETTINGS.heartbeatIntervalMs)
    const round = machine.context.leadership?.round ?? 0
    expect(nextPieceIn(machine.receive(3, heartbeatReply(TERM, round, PIECE_ENTRIES)))).toBe(PIECE_ENTRIES + 1)
  })

  it('is not kept waiting where writes wait for it, since without it nothing is committed', () => {
    const machine = catchingUp()
    machine.send({ type: 'peerDown', peer: 2 })
    machine.propose(batch(++batches))
    machine.completeWrites()
    expect(nextPieceIn(machine.receive(3, accepted(TERM, PIECE_ENTRIES)))).toBe(PIECE_ENTRIES + 1)
  })
})
