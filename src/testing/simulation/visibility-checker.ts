import { crc32 } from '../../machines/checksum.js'
import { RUN_HEADER_BYTES } from '../../machines/entry-run.js'
import type { Message } from '../../machines/messages.js'
import type { HardState, LogIndex, ServerId, Term } from '../../machines/types.js'
import type { MemoryDisk } from '../../storage/memory-disk.js'
import type { MemorySnapshotDisk } from '../../storage/memory-snapshot-disk.js'
import type { Durability } from '../../storage/ports.js'
import { decodeServerRecord } from '../../storage/server-record.js'
import { parseName } from '../../storage/snapshot-catalogue.js'
import type { SafetyChecker } from './safety-checker.js'
import type { RunPlace } from './seen-runs.js'
import { Violation } from './violation.js'

/** Whose disks are asked. */
export interface Keeper {
  readonly id: ServerId
  readonly disk: MemoryDisk
  readonly snapshotDisk: MemorySnapshotDisk
}

const NEVER: HardState = { term: 0, votedFor: undefined, promiseMs: 0 }

/**
 * Durable before visible (thesis §3.8): judges every message at the moment when it is sent, against what the disk of
 * its sender would hold after a crash right now. It asks the disk, not the server.
 */
export class VisibilityChecker {
  readonly #durability: Durability
  readonly #safety: SafetyChecker
  /** The HardState that each disk is known to keep; it never goes back. */
  readonly #kept = new Map<ServerId, { readonly bytes: Uint8Array | undefined; readonly hardState: HardState }>()

  constructor(durability: Durability, safety: SafetyChecker) {
    this.#durability = durability
    this.#safety = safety
  }

  /** Another disk, which keeps nothing yet. */
  wiped(id: ServerId): void {
    this.#kept.delete(id)
  }

  sent(keeper: Keeper, to: ServerId, message: Message): void {
    const { id, disk } = keeper
    this.#checkTerm(id, disk, message)
    if (message.type === 'requestVote') this.#checkVote(id, disk, message.term, id)
    if (message.type === 'requestVoteReply' && message.granted) this.#checkVote(id, disk, message.term, to)
    const index = indexSaid(message)
    if (index !== undefined && !this.#maySay(keeper, index, message.term)) {
      throw new Violation(
        'no entry is acknowledged before it is durable',
        `server ${id} told ${to} that it has entry ${index}`,
      )
    }
  }

  /** Whether a server's disks keep its log up to the run that ends at `index`, as entries or in a snapshot. */
  holds({ id, disk, snapshotDisk }: Keeper, index: number): boolean {
    const run = this.#safety.runAt(id, index)
    if (run === undefined) return index === 0
    return this.#keepsRun(disk, run) || covers(snapshotDisk, index)
  }

  #maySay(keeper: Keeper, index: LogIndex, term: Term): boolean {
    if (this.holds(keeper, index)) return true
    return this.#safety.replacedSince(keeper.id, index, term).some((run) => this.#keepsRun(keeper.disk, run))
  }

  #keepsRun(disk: MemoryDisk, run: RunPlace): boolean {
    const bytes =
      this.#durability === 'disk-first' ? disk.durableRecord(run.firstIndex) : disk.writtenRecord(run.firstIndex)
    return bytes !== undefined && bytes.length > RUN_HEADER_BYTES && checksumOf(bytes) === run.checksum
  }

  #checkTerm(id: ServerId, disk: MemoryDisk, message: Message): void {
    // A pre-vote speaks of a campaign that may never be, and what grants it repeats the candidate's term (thesis §9.6).
    if (message.type === 'preVoteReply' && message.granted) return
    const term = message.type === 'preVote' ? message.term - 1 : message.term
    if (this.#keptBy(id, disk, term).term >= term) return
    throw new Violation('no term is revealed before it is durable', `server ${id} sent ${message.type} of term ${term}`)
  }

  #checkVote(id: ServerId, disk: MemoryDisk, term: number, votedFor: ServerId): void {
    const kept = this.#keptBy(id, disk, term, votedFor)
    if (kept.term > term || (kept.term === term && kept.votedFor === votedFor)) return
    throw new Violation(
      'no vote is revealed before it is durable',
      `server ${id} voted for ${votedFor} in term ${term}`,
    )
  }

  #keptBy(id: ServerId, disk: MemoryDisk, term: number, votedFor?: ServerId): HardState {
    const known = this.#kept.get(id)
    if (known !== undefined) {
      const { hardState } = known
      if (hardState.term > term || (hardState.term === term && (votedFor ?? hardState.votedFor) === hardState.votedFor))
        return hardState
    }
    const bytes = disk.durableRecord(0)
    if (bytes === known?.bytes && known !== undefined) return known.hardState
    const record = bytes && decodeServerRecord(bytes, crc32)
    const hardState = record === undefined || 'malformed' in record ? NEVER : record.hardState
    this.#kept.set(id, { bytes, hardState })
    return hardState
  }
}

/** The end of what a message says that its sender holds. */
function indexSaid(message: Message): LogIndex | undefined {
  if (message.type === 'appendEntriesReply' && message.success) return message.matchIndex
  if (message.type === 'installSnapshotReply' && message.outcome === 'installed') return message.snapshot.index
  return undefined
}

/** A file has the name of a complete snapshot once all of it is durable. */
function covers(disk: MemorySnapshotDisk, index: LogIndex): boolean {
  return disk.fileNames().some((name) => {
    const named = parseName(name)
    return named?.stage === 'complete' && named.id.index >= index
  })
}

/** As its header says: the last field before the body. Undefined of a record cut short within its header. */
function checksumOf(bytes: Uint8Array): number | undefined {
  if (bytes.length < RUN_HEADER_BYTES) return undefined
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(RUN_HEADER_BYTES - 4)
}
