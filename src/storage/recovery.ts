import { ActorumError } from '../errors.js'
import { configurationOf, decodeRun } from '../machines/entry-run.js'
import type { EntryRun } from '../machines/entry-run.js'
import type { Checksum, Configuration, LogIndex, ServerId, Term, TermStart } from '../machines/types.js'
import { damaged } from './damage.js'
import type { Recovered } from './ports.js'
import type { DiskContents } from './record-disk.js'
import { RunIndex } from './run-index.js'
import { decodeServerRecord } from './server-record.js'
import type { ServerRecord } from './server-record.js'
import { newestWatermark } from './watermark.js'
import type { Unreadable, Watermark } from './watermark.js'

/** A log that can be believed. */
export interface RecoveredLog {
  readonly recovered: Recovered
  readonly record: ServerRecord
  readonly runs: RunIndex
  readonly watermark: Watermark
  /** Keys of records beyond the log's end, to be removed before anything is appended. */
  readonly cut: readonly LogIndex[]
}

interface Fault {
  readonly key: LogIndex
  readonly why: string
}

/**
 * Decides what of a store's records to believe. Records are handed in one by one, so that a log of any length passes
 * through in little memory.
 *
 * The log is a chain of checksums, so a lost, damaged, stale or foreign run shows as a fault. What follows the last
 * sound run is cut only if it cannot have been acknowledged: it lies beyond the watermark, and it is the tail of the
 * one write that was in flight, so that nothing sound follows the damage (FAST '18, protocol-aware recovery; only a
 * store that was open in mem-first mode may hold anything there). All else is refused.
 */
export class Recovery {
  readonly #place: string
  readonly #checksum: Checksum
  readonly #record: ServerRecord | undefined
  readonly #watermark: Watermark | Unreadable | undefined
  /** The first reason to refuse the store. */
  #refusal: ActorumError | undefined
  #recordsSeen = 0

  readonly #runs: RunIndex
  #lastTerm: Term
  #lastClusterTime: number
  readonly #termStarts: TermStart[] = []
  readonly #configurations: { index: LogIndex; configuration: Configuration }[] = []
  /** Checksum of the run that ends where the watermark does. */
  #checksumAtWatermark: number | undefined

  #fault: Fault | undefined
  /** Where a sound record follows the fault. */
  #soundAfterFault: LogIndex | undefined
  readonly #cut: LogIndex[] = []

  /** `place` is how errors name the store; `serverId` is whose it must be. */
  constructor(contents: DiskContents, serverId: ServerId, place: string, checksum: Checksum) {
    this.#place = place
    this.#checksum = checksum
    this.#record = this.#readRecord(contents.serverRecord, serverId)
    this.#watermark = contents.watermark && newestWatermark(contents.watermark, checksum)
    if (this.#watermark === 'newer') this.#refuse(this.#newer('its watermark'))
    const boundary = this.#record?.boundary ?? { index: 0, term: 0, checksum: 0, clusterTime: 0 }
    this.#runs = new RunIndex(boundary)
    this.#lastTerm = boundary.term
    this.#lastClusterTime = boundary.clusterTime
    if (this.#mark?.lastIndex === boundary.index) this.#checksumAtWatermark = boundary.checksum
  }

  /** Records up to here are remains of a compaction: not to be handed in. */
  get scanAbove(): LogIndex {
    return this.#runs.last.index
  }

  /** The next record, in order of `key`, the index under which it is stored. */
  take(key: LogIndex, bytes: Uint8Array): void {
    this.#recordsSeen++
    const run = decodeRun(bytes, this.#checksum)
    if ('malformed' in run) {
      if (run.newer) this.#refuse(this.#newer(`the record of entry ${key} (${run.malformed})`))
      this.#fault ??= { key, why: run.malformed }
    } else {
      const why = this.#faultOf(run, key)
      if (why !== undefined) this.#fault ??= { key, why }
      if (this.#fault === undefined) return this.#append(run)
      this.#soundAfterFault ??= key
    }
    this.#cut.push(key)
  }

  /** What the store holds: a log, or nothing yet. Throws CORRUPT, UNSUPPORTED_FORMAT or INVALID_ARGUMENT. */
  finish(): RecoveredLog | 'empty' {
    if (this.#refusal !== undefined) throw this.#refusal
    const record = this.#record
    const mark = this.#mark
    if (record === undefined) {
      if (this.#recordsSeen === 0 && (mark === undefined || isBlank(mark))) return 'empty'
      throw this.#corrupt(
        "the server's own record (its term, vote and identity) is missing, though it had been written",
      )
    }
    if (mark === undefined) {
      const state = this.#watermark === undefined ? 'is missing' : 'is damaged in both slots'
      throw this.#corrupt(`the watermark file ${state}, so that nothing shows whether acknowledged entries are lost`)
    }
    this.#checkAgainstWatermark(record, mark)
    this.#checkTail(mark)
    return { recovered: this.#recovered(record), record, runs: this.#runs, watermark: mark, cut: this.#cut }
  }

  get #mark(): Watermark | undefined {
    return typeof this.#watermark === 'object' ? this.#watermark : undefined
  }

  #readRecord(bytes: Uint8Array | undefined, serverId: ServerId): ServerRecord | undefined {
    if (bytes === undefined) return undefined
    const record = decodeServerRecord(bytes, this.#checksum)
    if ('malformed' in record) {
      const what = `the server's own record (its term, vote and identity)`
      this.#refuse(record.newer ? this.#newer(what) : this.#corrupt(`${what} is damaged: ${record.malformed}`))
      return undefined
    }
    if (record.serverId !== serverId) {
      const advice = `start server ${record.serverId} on it, or give server ${serverId} a place of its own`
      const message = `The ${this.#place} belongs to server ${record.serverId}, not to server ${serverId}: ${advice}.`
      this.#refuse(new ActorumError('INVALID_ARGUMENT', message))
    }
    return record
  }

  #faultOf(run: EntryRun, key: LogIndex): string | undefined {
    const last = this.#runs.last
    if (run.firstIndex !== key) return `it holds entry ${run.firstIndex}`
    if (key !== last.index + 1) return `the log before it ends at entry ${last.index}`
    if (run.previousChecksum !== last.checksum) return `it was not written after the run that ends at ${last.index}`
    if (run.term < this.#lastTerm) return `its term ${run.term} is lower than the term ${this.#lastTerm} before it`
    return undefined
  }

  #append(run: EntryRun): void {
    this.#runs.push(run.firstIndex, run.lastIndex, run.checksum)
    if (run.term !== this.#lastTerm || this.#termStarts.length === 0) {
      this.#termStarts.push({ index: run.firstIndex, term: run.term })
    }
    this.#lastTerm = run.term
    this.#lastClusterTime = run.clusterTime
    if (run.lastIndex === this.#mark?.lastIndex) this.#checksumAtWatermark = run.checksum
    if (run.kind !== 'configuration') return
    const configuration = configurationOf(run)
    // decodeRun has read it once already.
    if (!('malformed' in configuration)) this.#configurations.push({ index: run.firstIndex, configuration })
  }

  #checkAgainstWatermark(record: ServerRecord, mark: Watermark): void {
    const { index } = this.#runs.last
    if (record.version < mark.recordVersion) {
      const found = `version ${record.version} of term ${record.hardState.term}`
      throw this.#corrupt(`the newest term and vote are lost: ${found} is left of version ${mark.recordVersion}`)
    }
    if (index < mark.lastIndex) {
      const { key, why } = this.#fault ?? { key: index + 1, why: 'it is missing' }
      const kept = `entries up to ${mark.lastIndex} had been acknowledged`
      throw this.#corrupt(`the record of entry ${key} is damaged or lost (${why}), and ${kept}`)
    }
    if (mark.lastIndex >= record.boundary.index && this.#checksumAtWatermark !== mark.lastChecksum) {
      throw this.#corrupt(`entry ${mark.lastIndex} is not the one that had been acknowledged there`)
    }
    if (this.#lastTerm > record.hardState.term) {
      const terms = `entries of term ${this.#lastTerm}, but the server's own term is ${record.hardState.term}`
      throw this.#corrupt(`the newest term and vote are lost: the log holds ${terms}`)
    }
  }

  #checkTail(mark: Watermark): void {
    if (this.#fault === undefined || this.#soundAfterFault === undefined || mark.outOfOrder) return
    const { key, why } = this.#fault
    const after = `entry ${this.#soundAfterFault} is sound, so this is no write cut short`
    throw this.#corrupt(`the record of entry ${key} is damaged or out of place (${why}); ${after}`)
  }

  #recovered(record: ServerRecord): Recovered {
    const { index, checksum } = this.#runs.last
    return {
      fresh: false,
      storeId: record.storeId,
      clusterId: record.clusterId,
      hardState: record.hardState,
      boundary: record.boundary,
      lastIndex: index,
      lastChecksum: checksum,
      lastClusterTime: this.#lastClusterTime,
      termStarts: this.#termStarts,
      configurations: this.#configurations,
      notices: this.#fault === undefined ? [] : [this.#cutNotice(this.#fault)],
    }
  }

  #cutNotice({ key, why }: Fault): string {
    const lost = this.#mark?.outOfOrder
      ? 'In mem-first mode a crash of the machine can lose the last interval.'
      : 'It had not been acknowledged.'
    const place = `The log in the ${this.#place} was cut after entry ${this.#runs.last.index}`
    return `${place}: the record of entry ${key} had been written in part (${why}). ${lost}`
  }

  #refuse(error: ActorumError): void {
    this.#refusal ??= error
  }

  #corrupt(what: string): ActorumError {
    return damaged(this.#place, what)
  }

  #newer(what: string): ActorumError {
    const advice = 'Upgrade Actorum on this server; if no newer version ever ran here, the record is damaged'
    return new ActorumError(
      'UNSUPPORTED_FORMAT',
      `The ${this.#place} was written by a newer version: ${what} has a format not known here. ${advice}.`,
    )
  }
}

/** A store whose creation was cut short has a watermark that covers nothing. */
function isBlank(mark: Watermark): boolean {
  return mark.lastIndex === 0 && mark.recordVersion === 0
}
