import {
  ENTRY_HEADER_BYTES,
  RUN_HEADER_BYTES,
  encodeConfiguration,
  encodeNoop,
  sealRun,
} from '../machines/entry-run.js'
import type { EntryRun, RunKind } from '../machines/entry-run.js'
import { crc32 } from '../machines/checksum.js'
import type { Boundary, Configuration, LogIndex, Term } from '../machines/types.js'
import type { InitialState, LogStore, LogStoreHandler, LogWrite, Recovered } from '../storage/ports.js'

/** What the suites are run on: a maker of places, each for one store. */
export interface LogStoreSubject {
  place(): Promise<LogStorePlace>
}

export interface LogStorePlace {
  /** A store on this place, not yet open. Its checksum is CRC-32. */
  store(): LogStore
  /** Ends the last store's process as `kill -9` would: it is not heard of again, and another may be opened. */
  kill(): Promise<void>
  dispose(): Promise<void>
}

/** A sentence that a store makes true, and how to see that it does. */
export interface LogStoreClaim {
  readonly name: string
  /** Rejects, saying what was found, unless the claim holds. */
  readonly check: (subject: LogStoreSubject) => Promise<void>
}

export const CONFIGURATION: Configuration = { voters: [1, 2, 3], learners: [] }
export const INITIAL: InitialState = {
  serverId: 1,
  storeId: 'store-1',
  clusterId: undefined,
  configuration: CONFIGURATION,
}
const ENTRY_BYTES = 20

/** A claim whose place is disposed of however it ends. */
export function claim(name: string, check: (place: LogStorePlace) => Promise<void>): LogStoreClaim {
  return {
    name,
    check: async (subject) => {
      const place = await subject.place()
      try {
        await check(place)
      } finally {
        await place.dispose()
      }
    },
  }
}

/** Throws unless both are the same plain value. */
export function same(found: unknown, expected: unknown, what: string): void {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)]
  if (left !== right) throw new Error(`${what}: expected ${right}, found ${left}`)
}

/** A store's methods as promises. */
export class OpenStore {
  readonly store: LogStore
  readonly recovered: Recovered

  private constructor(store: LogStore, recovered: Recovered) {
    this.store = store
    this.recovered = recovered
  }

  static open(store: LogStore, initial: InitialState = INITIAL, handler: LogStoreHandler = NOBODY): Promise<OpenStore> {
    return new Promise((resolve, reject) => {
      store.open(initial, handler, (error, recovered) => {
        if (error === undefined) resolve(new OpenStore(store, recovered))
        else reject(error)
      })
    })
  }

  write(write: Partial<LogWrite>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.store.write({ runs: [], ...write }, (error) => (error === undefined ? resolve() : reject(error)))
    })
  }

  read(from: LogIndex, bytesMax = Infinity): Promise<readonly EntryRun[]> {
    return new Promise((resolve, reject) => {
      this.store.read(from, bytesMax, (error, runs) => (error === undefined ? resolve(runs) : reject(error)))
    })
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.store.close((error) => (error === undefined ? resolve() : reject(error)))
    })
  }
}

const NOBODY: LogStoreHandler = {
  failed: (error) => {
    throw error
  },
}

/** The error that `promise` ends with; throws when it ends well. */
export async function errorOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
  throw new Error('expected an error, found none')
}

export async function expectCode(promise: Promise<unknown>, code: string): Promise<void> {
  const error = await errorOf(promise)
  same('code' in error ? error.code : error.message, code, 'the error code')
}

/** Makes runs that follow each other, as a leader would. */
export class LogWriter {
  #index: LogIndex
  #checksum: number
  term: Term

  constructor(after: Pick<Boundary, 'index' | 'checksum' | 'term'> = { index: 0, checksum: 0, term: 1 }) {
    this.#index = after.index
    this.#checksum = after.checksum
    this.term = after.term
  }

  /** A run of `count` commands; `fill` makes it different from another at the same place. */
  run(count: number, fill = 0): EntryRun {
    const bytes = new Uint8Array(RUN_HEADER_BYTES + count * (ENTRY_HEADER_BYTES + ENTRY_BYTES)).fill(
      fill,
      RUN_HEADER_BYTES,
    )
    const view = new DataView(bytes.buffer)
    for (let entry = 0; entry < count; entry++) {
      const at = RUN_HEADER_BYTES + entry * (ENTRY_HEADER_BYTES + ENTRY_BYTES)
      view.setUint32(at, ENTRY_BYTES)
      view.setUint8(at + 4, 0)
    }
    return this.#seal('command', count, bytes)
  }

  noop(clusterId: string): EntryRun {
    return this.#seal('noop', 1, encodeNoop(clusterId))
  }

  configuration(configuration: Configuration): EntryRun {
    return this.#seal('configuration', 1, encodeConfiguration(configuration))
  }

  #seal(kind: RunKind, count: number, bytes: Uint8Array): EntryRun {
    const firstIndex = this.#index + 1
    const origin = { server: 1, nonce: 7, batch: firstIndex }
    const spec = { kind, count, firstIndex, term: this.term, clusterTime: firstIndex * 10, wallTime: 0, origin }
    const run = sealRun(bytes, { ...spec, previousChecksum: this.#checksum }, crc32)
    this.#index = run.lastIndex
    this.#checksum = run.checksum
    return run
  }
}

/** Goes on after `run`. */
export function writerAfter(run: EntryRun, term = run.term): LogWriter {
  return new LogWriter({ index: run.lastIndex, checksum: run.checksum, term })
}

/** The boundary of a snapshot that ends with `run`. */
export function boundaryAt(run: EntryRun, configuration: Configuration = CONFIGURATION): Boundary {
  const { lastIndex, term, checksum, clusterTime } = run
  return { index: lastIndex, term, checksum, clusterTime, configuration }
}

export function hardStateOf(term: Term, votedFor?: number, promiseMs = 0) {
  return { term, votedFor, promiseMs }
}

/** The runs' bytes, as text that `same` compares. */
export function bytesOf(runs: readonly EntryRun[]): readonly string[] {
  return runs.map((run) => Array.from(run.bytes).join(' '))
}
