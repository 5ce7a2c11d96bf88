import { describe, expect, it } from 'vitest'
import { ProposalBatch, type ProposalRequest } from '../../src/actors/proposal-batch.js'
import { crc32 } from '../../src/machines/checksum.js'
import { faultOfCommands, forEachCommand, RUN_HEADER_BYTES, sealRun } from '../../src/machines/entry-run.js'
import type { CommandCodec } from '../../src/state-machines/ports.js'

const codec: CommandCodec<Uint8Array> = {
  sizeOf: (command) => command.length,
  write: (command, target, at) => target.set(command, at),
}

function request(deadline = 1000): ProposalRequest<number> {
  return { resolve: () => undefined, reject: () => undefined, deadline, isSettled: false }
}

function batchOf(commands: readonly Uint8Array[], capacity = 0): ProposalBatch<number> {
  const batch = new ProposalBatch<number>(capacity)
  for (const command of commands) batch.add(codec, command, command.length, request())
  return batch
}

/** The commands in a batch's bytes, as a follower will read them. */
function commandsIn(batch: ProposalBatch<number>): readonly (readonly number[])[] {
  const { bytes, requests } = batch
  expect(faultOfCommands(bytes, requests.length)).toBeUndefined()
  const origin = { server: 1, nonce: 1, batch: 1 }
  const stamps = { term: 1, firstIndex: 1, previousChecksum: 0, clusterTime: 0, wallTime: 0, origin }
  const run = sealRun(bytes.slice(), { kind: 'command', count: requests.length, ...stamps }, crc32)
  const found: number[][] = []
  forEachCommand(run, (start, end) => found.push([...run.bytes.subarray(start, end)]))
  return found
}

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values)

describe('a batch of proposals', () => {
  it('is the body of a run, with room for its header', () => {
    const batch = batchOf([bytes(1, 2, 3), bytes(), bytes(4)])
    expect(commandsIn(batch)).toEqual([[1, 2, 3], [], [4]])
    expect([...batch.bytes.subarray(0, RUN_HEADER_BYTES)].every((byte) => byte === 0)).toBe(true)
    expect(batch.bytes.length).toBe(batch.byteLength)
  })

  it('grows with what is added, and writes lengths above 2^16', () => {
    const large = new Uint8Array(70_000).fill(7)
    expect(commandsIn(batchOf([bytes(1), large, bytes(2)]))).toEqual([[1], [...large], [2]])
  })

  it('has copied a command when it is added: changing the buffer changes nothing', () => {
    const buffer = bytes(1, 2, 3)
    const batch = batchOf([buffer])
    buffer.fill(9)
    expect(commandsIn(batch)).toEqual([[1, 2, 3]])
  })

  it('leaves out what was answered before it was proposed', () => {
    const batch = batchOf([bytes(1), bytes(2, 2), bytes(3)])
    batch.requests[1]!.isSettled = true
    const kept = batch.withoutSettled()
    expect(commandsIn(kept)).toEqual([[1], [3]])
    expect(kept.requests).toEqual([batch.requests[0], batch.requests[2]])
    batch.requests[0]!.isSettled = true
    batch.requests[2]!.isSettled = true
    expect(batch.withoutSettled().requests).toEqual([])
  })

  it('knows the earliest deadline in it', () => {
    const batch = new ProposalBatch<number>(0)
    for (const deadline of [30, 10, 20]) batch.add(codec, bytes(1), 1, request(deadline))
    expect(batch.deadline).toBe(10)
    batch.requests[1]!.isSettled = true
    expect(batch.withoutSettled().deadline).toBe(20)
  })

  it('is whole without a command whose codec threw', () => {
    const batch = batchOf([bytes(1)])
    const failing: CommandCodec<Uint8Array> = {
      sizeOf: (command) => command.length,
      write: (command, target, at) => {
        target[at] = 99
        throw new Error(`cannot write ${command.length} bytes`)
      },
    }
    expect(() => batch.add(failing, bytes(5, 5), 2, request())).toThrow('cannot write 2 bytes')
    batch.add(codec, bytes(3), 1, request())
    expect(commandsIn(batch)).toEqual([[1], [3]])
  })

  it('keeps no more than twice its bytes alive, for as long as the log keeps it', () => {
    const small = batchOf([bytes(1, 2, 3)], 64 * 1024)
    expect(small.bytes.buffer.byteLength).toBeLessThanOrEqual(2 * small.byteLength)
    expect(commandsIn(small)).toEqual([[1, 2, 3]])
    const full = batchOf([new Uint8Array(5000)], 8 * 1024)
    expect(full.bytes.buffer.byteLength).toBeLessThanOrEqual(2 * full.byteLength)
  })
})
