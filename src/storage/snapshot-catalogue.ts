import type { SnapshotId } from '../machines/types.js'
import type { StoredSnapshot } from './ports.js'

/** Complete snapshots kept: should the newest be damaged, there is one before it. */
export const SNAPSHOTS_KEPT = 2

/** A snapshot of this server's own under way. */
export const WRITING_NAME = 'snapshot.writing'

const NAME = /^snapshot-(\d+)-(\d+)-(\d+)-([0-9a-f]{8})\.(complete|partial)$/

/** `complete`: whole and durable. `partial`: being received. */
export type SnapshotStage = 'complete' | 'partial'

/** The name of a snapshot's file, which says all of its id. */
export function nameOf({ index, term, byteLength, checksum }: SnapshotId, stage: SnapshotStage): string {
  return `snapshot-${index}-${term}-${byteLength}-${checksum.toString(16).padStart(8, '0')}.${stage}`
}

/** Whether a file is, was or was to be a snapshot. */
export function isSnapshotName(name: string): boolean {
  return name.startsWith('snapshot')
}

export function parseName(name: string): { readonly id: SnapshotId; readonly stage: SnapshotStage } | undefined {
  const [, index, term, byteLength, checksum = '', stage] = NAME.exec(name) ?? []
  if (stage !== 'complete' && stage !== 'partial') return undefined
  const id = { index: Number(index), term: Number(term), byteLength: Number(byteLength) }
  return { id: { ...id, checksum: Number.parseInt(checksum, 16) }, stage }
}

export function isSameSnapshot(left: SnapshotId, right: SnapshotId): boolean {
  return (
    left.index === right.index &&
    left.term === right.term &&
    left.byteLength === right.byteLength &&
    left.checksum === right.checksum
  )
}

/** The complete snapshots, and which of them somebody still reads. */
export class SnapshotCatalogue {
  #stored: readonly StoredSnapshot[] = []
  readonly #readers = new Map<string, number>()

  /** Newest first. */
  get stored(): readonly StoredSnapshot[] {
    return this.#stored
  }

  find(id: SnapshotId): StoredSnapshot | undefined {
    return this.#stored.find((one) => isSameSnapshot(one.id, id))
  }

  add(stored: StoredSnapshot): void {
    this.remove(stored.id)
    this.#stored = [...this.#stored, stored].sort((left, right) => newestFirst(left.id, right.id))
  }

  remove(id: SnapshotId): void {
    this.#stored = this.#stored.filter((one) => !isSameSnapshot(one.id, id))
  }

  /** Keeps a snapshot for a reader, until what is returned is called for the first time. */
  retain(id: SnapshotId): () => void {
    const name = nameOf(id, 'complete')
    this.#readers.set(name, (this.#readers.get(name) ?? 0) + 1)
    let isReleased = false
    return () => {
      if (isReleased) return
      isReleased = true
      const left = (this.#readers.get(name) ?? 1) - 1
      if (left > 0) this.#readers.set(name, left)
      else this.#readers.delete(name)
    }
  }

  /** Strikes what is older than the newest two and not being read; returns the names of the files, to be removed. */
  strikeSurplus(): readonly string[] {
    const isSurplus = ({ id }: StoredSnapshot, at: number): boolean =>
      at >= SNAPSHOTS_KEPT && !this.#readers.has(nameOf(id, 'complete'))
    const surplus = this.#stored.filter(isSurplus)
    if (surplus.length > 0) this.#stored = this.#stored.filter((one) => !surplus.includes(one))
    return surplus.map(({ id }) => nameOf(id, 'complete'))
  }
}

/** Of two with one index the order says nothing, but is always the same. */
export function newestFirst(left: SnapshotId, right: SnapshotId): number {
  return (
    right.index - left.index ||
    right.term - left.term ||
    right.byteLength - left.byteLength ||
    right.checksum - left.checksum
  )
}
