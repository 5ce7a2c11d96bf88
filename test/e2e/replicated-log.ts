import { forEachCommand, type EntryRun } from '../../src/machines/entry-run.js'
import { Violation, type Operation } from '../../src/testing/index.js'
import { KvLedger } from '../../src/testing/simulation/kv-ledger.js'
import { kindFor } from '../../src/storage/file-or-level.js'
import type { LogStore } from '../../src/storage/ports.js'
import * as files from '../integration/file-place.js'
import * as level from '../integration/level-place.js'

const READ_BYTES = 4 * 1024 * 1024

interface LogPlace {
  readonly id: number
  readonly directory: string
}

/** What the servers' disks say was committed, read after their processes have ended. */
export class ReplicatedLog {
  readonly ledger = new KvLedger()
  readonly #durability: 'disk-first' | 'mem-first'
  #readTo = 0

  constructor(durability: 'disk-first' | 'mem-first') {
    this.#durability = durability
  }

  /** Reads on, up to an index that all have applied, and compares the disks. Throws a Violation where they differ. */
  async read(places: readonly LogPlace[], end: number): Promise<void> {
    const checksums = new Map<number, number>()
    for (const place of places) await this.#readPlace(place, end, checksums)
    this.#readTo = end
  }

  /** What clients were told of their writes, to be held against the log. A compare-and-swap does not tell its revision. */
  noteOutcomes(history: readonly Operation[]): void {
    for (const operation of history) {
      const { op, key, input, output, outcome } = operation
      if (outcome === 'failed') {
        if (op === 'put') this.ledger.refused(input)
        if (op === 'cas') this.ledger.refused(input.value)
      } else if (op === 'put' && output !== null) {
        this.ledger.acknowledged({ type: 'put', key, value: input }, { revision: output })
      } else if (op === 'delete' && output?.revision !== undefined) {
        const { deleted, revision } = output
        this.ledger.acknowledged({ type: 'delete', key }, { deleted, revision })
      }
    }
  }

  /** Every run is on every disk, the same; so says its checksum, which covers the one before it too. */
  async #readPlace({ id, directory }: LogPlace, end: number, checksums: Map<number, number>): Promise<void> {
    const durability = this.#durability
    const kind = await kindFor(directory, undefined)
    const store = kind === 'file' ? files.storeIn(directory, { durability }) : level.storeIn(directory, durability)
    const lastIndex = await open(store, id)
    try {
      if (lastIndex < end)
        throw new Violation(
          'what was applied stays',
          `server ${id} has ${lastIndex} entries on disk, and had applied ${end}`,
        )
      for (let next = this.#readTo + 1; next <= end;) {
        const runs = await readRuns(store, next)
        for (const run of runs) this.#take(run, id, checksums)
        next = (runs.at(-1)?.lastIndex ?? end) + 1
      }
    } finally {
      await new Promise<void>((resolve, reject) =>
        store.close((error) => (error === undefined ? resolve() : reject(error))),
      )
    }
  }

  #take(run: EntryRun, id: number, checksums: Map<number, number>): void {
    const known = checksums.get(run.firstIndex)
    if (known !== undefined && known !== run.checksum) {
      throw new Violation(
        'state machine safety',
        `server ${id} applied another run at index ${run.firstIndex} than those before it`,
      )
    }
    checksums.set(run.firstIndex, run.checksum)
    if (run.kind !== 'command') return
    const bounds: number[] = []
    forEachCommand(run, (start, end) => bounds.push(start, end))
    this.ledger.note({ ...run, bounds: Uint32Array.from(bounds), resultsWanted: false })
  }
}

function open(store: LogStore, serverId: number): Promise<number> {
  const unused = {
    serverId,
    storeId: 'unused',
    clusterId: undefined,
    configuration: { voters: [serverId], learners: [] },
  }
  return new Promise((resolve, reject) => {
    store.open(unused, { failed: reject }, (error, recovered) => {
      if (error === undefined) resolve(recovered.lastIndex)
      else reject(new Violation('a disk holds what it was given', `that of server ${serverId}: ${error.message}`))
    })
  })
}

function readRuns(store: LogStore, from: number): Promise<readonly EntryRun[]> {
  return new Promise((resolve, reject) => {
    store.read(from, READ_BYTES, (error, runs) => (error === undefined ? resolve(runs) : reject(error)))
  })
}
