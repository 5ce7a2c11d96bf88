import { notifyParent } from '../ipc.js'
import type { Progress, Verdict } from './ledger.js'

const REPORT_INTERVAL_MS = 10

/** A broken promise. */
export interface Broken {
  readonly verdict: Exclude<Verdict, 'kept'>
  readonly writer: number
  readonly key: number
  readonly found: number
  readonly term: number
}

/** What a server tells the parent every few milliseconds. */
export interface Report {
  readonly progress: readonly Progress[]
  readonly broken: readonly Broken[]
  /** Failed calls by code. */
  readonly errors: Readonly<Record<string, number>>
  /** Reads whose result was judged. */
  readonly reads: number
}

interface Gathering {
  readonly writer: number
  readonly acknowledged: [number, number][]
  readonly unknown: number[]
  last: number
}

/** Gathers what the clients of a server have been told, and passes it on to the parent. */
export class Reporter {
  #progress = new Map<number, Gathering>()
  #broken: Broken[] = []
  #errors: Record<string, number> = {}
  #reads = 0

  constructor() {
    setInterval(() => this.flush(), REPORT_INTERVAL_MS)
  }

  acknowledged(writer: number, sequence: number): void {
    const gathering = this.#of(writer, sequence)
    const span = gathering.acknowledged.at(-1)
    if (span?.[1] === sequence - 1) span[1] = sequence
    else gathering.acknowledged.push([sequence, sequence])
  }

  failed(writer: number, sequence: number, code: string): void {
    const gathering = this.#of(writer, sequence)
    if (code === 'OUTCOME_UNKNOWN') gathering.unknown.push(sequence)
    this.#count(`write ${code}`)
  }

  readFailed(code: string): void {
    this.#count(`read ${code}`)
  }

  broken(broken: Broken): void {
    this.#broken.push(broken)
  }

  looked(reads: number): void {
    this.#reads += reads
  }

  flush(): void {
    const report: Report = {
      progress: [...this.#progress.values()],
      broken: this.#broken,
      errors: this.#errors,
      reads: this.#reads,
    }
    this.#progress = new Map()
    this.#broken = []
    this.#errors = {}
    this.#reads = 0
    notifyParent(report)
  }

  #of(writer: number, sequence: number): Gathering {
    const present = this.#progress.get(writer)
    if (present !== undefined) {
      present.last = sequence
      return present
    }
    const gathering: Gathering = { writer, acknowledged: [], unknown: [], last: sequence }
    this.#progress.set(writer, gathering)
    return gathering
  }

  #count(what: string): void {
    this.#errors[what] = (this.#errors[what] ?? 0) + 1
  }
}
