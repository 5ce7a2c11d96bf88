/** Keys that a writer goes round: what it last wrote to each is still there when it looks back. */
export const KEYS_PER_WRITER = 100

/** Plain data, for the way between processes. */
export interface LedgerState {
  readonly writer: number
  readonly last: number
  readonly acknowledged: readonly number[]
  readonly unknown: readonly Span[]
}

/** Sequences from the first to the second, both included. */
export type Span = readonly [number, number]

/** What became of a writer's writes: some of them, in the order of their sequences. */
export interface Progress {
  readonly writer: number
  readonly acknowledged: readonly Span[]
  readonly unknown: readonly number[]
  readonly last: number
}

/**
 * `lost`: an acknowledged write is gone. `phantom`: a write is there that was certainly not proposed. Either is a
 * broken promise.
 */
export type Verdict = 'kept' | 'lost' | 'phantom'

/**
 * What one writer was told about its writes. Write number n (from 1) puts n at the writer's key n mod KEYS_PER_WRITER;
 * the writer has one write under way at a time.
 */
export class Ledger {
  readonly writer: number
  /** The newest sequence given out. */
  last: number
  /** The newest acknowledged sequence of each key; 0: none. */
  readonly acknowledged: Float64Array
  readonly #unknown: Span[]

  constructor(state: LedgerState) {
    this.writer = state.writer
    this.last = state.last
    this.acknowledged = Float64Array.from(state.acknowledged)
    this.#unknown = [...state.unknown]
  }

  static empty(writer: number): Ledger {
    return new Ledger({ writer, last: 0, acknowledged: new Array<number>(KEYS_PER_WRITER).fill(0), unknown: [] })
  }

  state(): LedgerState {
    const { writer, last } = this
    return { writer, last, acknowledged: [...this.acknowledged], unknown: [...this.#unknown] }
  }

  acknowledge([from, to]: Span): void {
    for (let sequence = Math.max(from, to - KEYS_PER_WRITER + 1); sequence <= to; sequence++) {
      const key = sequence % KEYS_PER_WRITER
      this.acknowledged[key] = Math.max(this.acknowledged[key]!, sequence)
    }
  }

  outcomeUnknown(span: Span): void {
    this.#unknown.push(span)
  }

  add(progress: Progress): void {
    for (const span of progress.acknowledged) this.acknowledge(span)
    for (const sequence of progress.unknown) this.outcomeUnknown([sequence, sequence])
    this.last = Math.max(this.last, progress.last)
  }

  /** Judges the sequence found at a key (0: none) by what had been acknowledged before it was read. */
  judge(found: number, acknowledged: number): Verdict {
    if (found === acknowledged) return 'kept'
    if (this.#unknown.some(([from, to]) => from <= found && found <= to)) return 'kept'
    return found < acknowledged ? 'lost' : 'phantom'
  }
}

export function keyOf(writer: number, key: number): string {
  return `soak/${writer}/${key}`
}
