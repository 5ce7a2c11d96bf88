import { describe, expect, it } from 'vitest'
import type { CommittedBatch, SnapshotSink, StateMachine } from '../../src/state-machines/ports.js'
import { stateMachineSuite } from '../../src/testing/state-machine-suite.js'

type Fault =
  | 'writes beyond its room'
  | 'forgets a byte'
  | 'differs by instance'
  | 'lacks a result'
  | 'counts by batch'
  | 'results always'
  | 'applies only for results'
  | 'marks the bytes'
  | 'keeps views'
  | 'trusts slice'
  | 'lazy snapshot'
  | 'yields its own'
  | 'loses the last'
  | 'adds to the old'
  | 'keeps chunks'
  | 'needs whole chunks'
  | 'restores at once'
  | 'ends at any time'

/** Ends a snapshot: no command is this byte. */
const END = 0xff

let instances = 0

/** Remembers every command of one byte, and answers with how often it has come. With a fault, wrongly. */
class Journal implements StateMachine<Uint8Array, number> {
  readonly #fault: Fault | undefined
  readonly #instance = instances++
  #entries: Uint8Array[] = []

  constructor(fault?: Fault) {
    this.#fault = fault
  }

  readonly commands = {
    sizeOf: () => 1,
    write: (command: Uint8Array, target: Uint8Array, at: number) => {
      if (this.#fault !== 'forgets a byte') target[at] = command[0] ?? 0
      if (this.#fault === 'writes beyond its room') target[at + 1] = 1
    },
  }

  apply(batch: CommittedBatch): number[] {
    const results: number[] = []
    const seen = this.#fault === 'counts by batch' ? [...this.#entries] : this.#entries
    if (this.#fault === 'applies only for results' && !batch.resultsWanted) return results
    for (let i = 0; i < batch.count; i++) {
      const [start, end] = [batch.bounds[2 * i], batch.bounds[2 * i + 1]]
      const view = batch.bytes.subarray(start, end)
      const sliced = this.#fault === 'trusts slice' ? batch.bytes.slice(start, end) : Uint8Array.from(view)
      this.#entries.push(this.#fault === 'keeps views' ? view : sliced)
      results.push(seen.filter(([byte]) => byte === view[0]).length + this.#skew())
    }
    if (this.#fault === 'marks the bytes') batch.bytes[0] = 0
    if (this.#fault === 'lacks a result') results.pop()
    return batch.resultsWanted || this.#fault === 'results always' ? results : []
  }

  #skew(): number {
    return this.#fault === 'differs by instance' ? this.#instance : 0
  }

  snapshot(): Iterable<Uint8Array> {
    const entries = this.#fault === 'lazy snapshot' ? this.#entries : [...this.#entries]
    const yields =
      this.#fault === 'yields its own' ? (entry: Uint8Array) => entry : (entry: Uint8Array) => entry.slice()
    return { [Symbol.iterator]: () => [...entries.map(yields), Uint8Array.of(END)].values() }
  }

  restore(): SnapshotSink {
    let entries: Uint8Array[] = []
    return {
      write: (chunk) => {
        const kept = this.#fault === 'keeps chunks' ? chunk : Uint8Array.from(chunk)
        if (this.#fault === 'needs whole chunks') entries.push(kept.subarray(0, 2))
        else for (let at = 0; at < kept.length; at++) entries.push(kept.subarray(at, at + 1))
        if (this.#fault === 'restores at once') this.#entries = entries
      },
      end: () => {
        if (this.#fault !== 'ends at any time' && entries.at(-1)?.[0] !== END) throw new Error('not the end')
        entries = entries.slice(0, this.#fault === 'loses the last' ? -2 : -1)
        this.#entries = this.#fault === 'adds to the old' ? [...this.#entries, ...entries] : entries
      },
      abandon: () => undefined,
    }
  }
}

function failuresOf(fault?: Fault): string[] {
  const suite = stateMachineSuite({
    create: () => new Journal(fault),
    command: (random) => Uint8Array.of(random.uint32() % 4),
  })
  return suite.filter(({ check }) => throws(check)).map(({ name }) => name)
}

function throws(check: () => void): boolean {
  try {
    check()
    return false
  } catch {
    return true
  }
}

describe('the state machine suite', () => {
  it('finds no fault in a sound state machine', () => {
    expect(failuresOf()).toEqual([])
  })

  it.each<[Fault, string]>([
    ['writes beyond its room', 'the codec fills exactly the room it asks for'],
    ['forgets a byte', 'the codec fills exactly the room it asks for'],
    ['differs by instance', 'the same batches give the same results and the same snapshot'],
    ['lacks a result', 'each command has one result'],
    ['counts by batch', 'a command sees the writes of those before it in its batch, however the batches are cut'],
    ['results always', 'unwanted results change nothing'],
    ['applies only for results', 'unwanted results change nothing'],
    ['marks the bytes', "applying leaves a batch's bytes as they are"],
    ['keeps views', "a batch's bytes may change once it is applied"],
    ['trusts slice', "a batch's bytes may change once it is applied"],
    ['lazy snapshot', 'later batches do not change a snapshot'],
    ['yields its own', "a snapshot's chunks may change once they are yielded"],
    ['loses the last', 'a restored machine goes on as the original does'],
    ['adds to the old', 'restoring replaces what was there'],
    ['keeps chunks', "a sink's chunks may change as soon as they are written"],
    ['needs whole chunks', 'a snapshot is restored however its bytes are cut'],
    ['restores at once', 'until the end of a restore the old state goes on'],
    ['ends at any time', 'a restore that is abandoned or incomplete changes nothing'],
  ])('notices one that %s', (fault, claim) => {
    expect(failuresOf(fault)).toContain(claim)
  })
})
