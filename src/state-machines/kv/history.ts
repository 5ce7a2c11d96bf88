import type { LogIndex } from '../../machines/types.js'
import { lowest } from './key-index.js'
import type { KeyChars } from './keys.js'
import type { StoredRecord } from './records.js'
import { SLAB_BYTES, Slabs } from './slabs.js'

/** How much of the past a server keeps. What a command does never depends on it, so servers may differ. */
export interface HistoryLimits {
  /** Changes kept. Default 100,000. */
  readonly historyEntriesMax: number
  /** Bytes of their keys and values. Default 32 MiB. */
  readonly historyBytesMax: number
  /** How long they are kept, in milliseconds of cluster time. Default ten minutes. */
  readonly historyAgeMsMax: number
}

export const HISTORY_LIMITS: HistoryLimits = {
  historyEntriesMax: 100_000,
  historyBytesMax: 32 * 1024 * 1024,
  historyAgeMsMax: 600_000,
}

/** A key's value, as it is or as it was. `value` is the store's own. */
export interface Version {
  readonly value: Uint8Array
  readonly createRevision: LogIndex
  readonly modRevision: LogIndex
  readonly version: number
  readonly leaseId: number
}

/** A change as a snapshot carries it. */
export interface PastChange {
  readonly key: KeyChars
  readonly revision: LogIndex
  readonly clusterTime: number
  /** undefined: there was no such key. */
  readonly previous: Version | undefined
  readonly isDeletion: boolean
}

/** Numbers of one change, side by side in one line of the processor's cache. */
const NUMBERS = 8
const REVISION = 0
const TIME = 1
const CREATE_REVISION = 2
const MOD_REVISION = 3
const VERSION = 4
const LEASE = 5
const OLDER = 6
const NEWER = 7

const PLACES = 4
/** The slab's number, 0 when the previous value is in none. */
const SLAB = 0
const OFFSET = 1
const LENGTH = 2
const FLAGS = 3

const IS_DELETION = 1
const HAD_VALUE = 2

const CAPACITY_MIN = 64

/**
 * What every changed key was before: the newest changes, in a ring, under numbers that count up from 1. The changes of
 * one key are linked, so its value as of any revision kept is found from the newest one.
 *
 * Kept in arrays of numbers, since an object for each change would live long enough to be work for the collector. A value that is overwritten in its place is first copied to a slab, and a slab goes when its last change
 * does: changes go in the order they came, so nothing small keeps a slab alive.
 */
export class History {
  readonly #limits: HistoryLimits
  #capacity = CAPACITY_MIN
  #numbers = new Float64Array(CAPACITY_MIN * NUMBERS)
  #places = new Uint32Array(CAPACITY_MIN * PLACES)
  #keys: (KeyChars | undefined)[] = new Array<undefined>(CAPACITY_MIN).fill(undefined)
  /** Previous values that are in no slab. */
  #values: (Uint8Array | undefined)[] = new Array<undefined>(CAPACITY_MIN).fill(undefined)
  #first = 1
  #next = 1
  #bytes = 0
  #compactedRevision: LogIndex
  readonly #slabs = new Slabs()
  /** The newest change of each key that is deleted. */
  readonly #deletions = new Map<KeyChars, number>()

  constructor(limits: HistoryLimits, compactedRevision: LogIndex) {
    this.#limits = limits
    this.#compactedRevision = compactedRevision
  }

  /** The earliest revision at which the state can be read. Changes are kept from the next one on. */
  get compactedRevision(): LogIndex {
    return this.#compactedRevision
  }

  /** The oldest change kept. */
  get first(): number {
    return this.#first
  }

  /** What the next change will be. */
  get next(): number {
    return this.#next
  }

  /**
   * Notes a change, before it is made, and gives its number.
   * @param isOverwritten - whether the previous value's bytes are about to change, and must be copied
   */
  note(
    key: KeyChars,
    previous: StoredRecord | undefined,
    revision: LogIndex,
    clusterTime: number,
    isOverwritten: boolean,
  ): number {
    if (previous === undefined) {
      const number = this.#begin(key, revision, clusterTime)
      this.#link(number, this.#deletions.size > 0 ? this.#takeDeletion(key) : 0)
      return number
    }
    // The record's own key, which is there already: keeping another of each would be work for the collector.
    const number = this.#begin(previous.key, revision, clusterTime)
    const slot = number & (this.#capacity - 1)
    if (isOverwritten) this.#copy(slot, previous.value)
    else this.#keep(slot, previous.value)
    const numbers = this.#numbers
    const at = slot * NUMBERS
    numbers[at + CREATE_REVISION] = previous.createRevision
    numbers[at + MOD_REVISION] = previous.modRevision
    numbers[at + VERSION] = previous.version
    numbers[at + LEASE] = previous.lease === undefined ? 0 : previous.lease.id
    this.#link(number, previous.lastChange)
    return number
  }

  /** As `note`, of a key that is deleted: nobody else will know its newest change. */
  noteDeletion(previous: StoredRecord, revision: LogIndex, clusterTime: number): number {
    const number = this.note(previous.key, previous, revision, clusterTime, false)
    this.#places[(number & (this.#capacity - 1)) * PLACES + FLAGS] = IS_DELETION | HAD_VALUE
    this.#deletions.set(previous.key, number)
    return number
  }

  /** Puts back what a snapshot carried, oldest first. `older` is the change of the same key before it, 0 for none. */
  restore({ key, revision, clusterTime, previous, isDeletion }: PastChange, older: number): number {
    const number = this.#begin(key, revision, clusterTime)
    const slot = number & (this.#capacity - 1)
    if (previous !== undefined) {
      if (previous.value.length > SLAB_BYTES) this.#keep(slot, previous.value.slice())
      else this.#copy(slot, previous.value)
      const { createRevision, modRevision, version, leaseId } = previous
      this.#numbers.set([createRevision, modRevision, version, leaseId], slot * NUMBERS + CREATE_REVISION)
    }
    this.#deletions.delete(key)
    if (isDeletion) {
      this.#places[slot * PLACES + FLAGS]! |= IS_DELETION
      this.#deletions.set(key, number)
    }
    this.#link(number, older)
    return number
  }

  /** The number of the first change at this revision or later; `next` when there is none. */
  firstSince(revision: LogIndex): number {
    return this.#first + lowest(this.#next - this.#first, (at) => this.revisionOf(this.#first + at) >= revision)
  }

  /** The newest change of a key that is deleted, 0 when none is kept. */
  newestOfDeleted(key: KeyChars): number {
    return this.#deletions.get(key) ?? 0
  }

  keyOf(number: number): KeyChars {
    return this.#keys[number & (this.#capacity - 1)]!
  }

  revisionOf(number: number): LogIndex {
    return this.#number(number, REVISION)
  }

  /** The change of the same key before this one, 0 when it is not kept. */
  olderThan(number: number): number {
    const older = this.#number(number, OLDER)
    return older >= this.#first ? older : 0
  }

  /** The next change of the same key, 0 when there is none. */
  newerThan(number: number): number {
    return this.#number(number, NEWER)
  }

  /** What the key was before; undefined when there was none. */
  previousOf(number: number): Version | undefined {
    const slot = number & (this.#capacity - 1)
    const value = this.#values[slot] ?? this.#slabs.get(this.#places[slot * PLACES + SLAB]!)
    return versionIn(value, this.#numbers, this.#places, slot)
  }

  /** Forgets what is too old, too much or compacted, whole revisions at a time. */
  trim(clusterTime: number): void {
    const { historyEntriesMax, historyBytesMax, historyAgeMsMax } = this.#limits
    const oldest = clusterTime - historyAgeMsMax
    while (
      this.#next - this.#first > historyEntriesMax ||
      this.#bytes > historyBytesMax ||
      (this.#first < this.#next && (this.#isCompacted(this.#first) || this.#number(this.#first, TIME) < oldest))
    ) {
      this.#forgetRevision(this.revisionOf(this.#first))
    }
  }

  /**
   * Lets nobody read before this revision any more. The changes up to and with it go with the next `trim`: they may be
   * of this very batch, and those who watch are yet to be told.
   */
  compact(revision: LogIndex): void {
    this.#compactedRevision = Math.max(this.#compactedRevision, revision)
  }

  #isCompacted(number: number): boolean {
    return this.revisionOf(number) <= this.#compactedRevision
  }

  #forgetRevision(revision: LogIndex): void {
    do this.#forgetFirst()
    while (this.#first < this.#next && this.revisionOf(this.#first) === revision)
    this.#compactedRevision = Math.max(this.#compactedRevision, revision)
  }

  #forgetFirst(): void {
    const number = this.#first++
    const slot = number & (this.#capacity - 1)
    const key = this.#keys[slot]!
    this.#keys[slot] = undefined
    this.#bytes -= key.length
    const at = slot * PLACES
    const flags = this.#places[at + FLAGS]!
    if ((flags & HAD_VALUE) > 0) {
      this.#bytes -= this.#places[at + LENGTH]!
      const slab = this.#places[at + SLAB]!
      if (slab === 0) this.#values[slot] = undefined
      else this.#slabs.forgetBefore(slab)
    }
    if ((flags & IS_DELETION) > 0 && this.#deletions.get(key) === number) this.#deletions.delete(key)
  }

  /** All changes kept, oldest first, as of now: what comes later does not show. */
  frozen(): Iterable<PastChange> {
    const [first, next, mask] = [this.#first, this.#next, this.#capacity - 1]
    if (first === next) return []
    const [keys, values, slabs] = [this.#keys.slice(), this.#values.slice(), this.#slabs.frozen()]
    const [numbers, places] = [this.#numbers.slice(), this.#places.slice()]
    return {
      *[Symbol.iterator]() {
        for (let number = first; number < next; number++) {
          const slot = number & mask
          yield {
            key: keys[slot]!,
            revision: numbers[slot * NUMBERS + REVISION]!,
            clusterTime: numbers[slot * NUMBERS + TIME]!,
            previous: versionIn(values[slot] ?? slabs.get(places[slot * PLACES + SLAB]!), numbers, places, slot),
            isDeletion: (places[slot * PLACES + FLAGS]! & IS_DELETION) > 0,
          }
        }
      },
    }
  }

  #number(number: number, which: number): number {
    return this.#numbers[(number & (this.#capacity - 1)) * NUMBERS + which]!
  }

  #begin(key: KeyChars, revision: LogIndex, clusterTime: number): number {
    if (this.#next - this.#first === this.#capacity) this.#grow()
    const number = this.#next++
    const slot = number & (this.#capacity - 1)
    this.#keys[slot] = key
    const at = slot * NUMBERS
    this.#numbers[at + REVISION] = revision
    this.#numbers[at + TIME] = clusterTime
    this.#places[slot * PLACES + FLAGS] = 0
    this.#bytes += key.length
    return number
  }

  #link(number: number, older: number): void {
    const mask = this.#capacity - 1
    const at = (number & mask) * NUMBERS
    this.#numbers[at + OLDER] = older
    this.#numbers[at + NEWER] = 0
    if (older >= this.#first) this.#numbers[(older & mask) * NUMBERS + NEWER] = number
  }

  #takeDeletion(key: KeyChars): number {
    const number = this.#deletions.get(key)
    if (number === undefined) return 0
    this.#deletions.delete(key)
    return number
  }

  #keep(slot: number, value: Uint8Array): void {
    this.#values[slot] = value
    this.#setPlace(slot, 0, 0, value.length)
  }

  #copy(slot: number, value: Uint8Array): void {
    const offset = this.#slabs.add(value)
    this.#setPlace(slot, this.#slabs.last, offset, value.length)
  }

  #setPlace(slot: number, slab: number, offset: number, length: number): void {
    const places = this.#places
    const at = slot * PLACES
    places[at + SLAB] = slab
    places[at + OFFSET] = offset
    places[at + LENGTH] = length
    places[at + FLAGS] = HAD_VALUE
    this.#bytes += length
  }

  #grow(): void {
    const old = { capacity: this.#capacity, numbers: this.#numbers, places: this.#places }
    const [oldKeys, oldValues] = [this.#keys, this.#values]
    this.#capacity *= 2
    this.#numbers = new Float64Array(this.#capacity * NUMBERS)
    this.#places = new Uint32Array(this.#capacity * PLACES)
    this.#keys = new Array<undefined>(this.#capacity).fill(undefined)
    this.#values = new Array<undefined>(this.#capacity).fill(undefined)
    for (let number = this.#first; number < this.#next; number++) {
      const from = number & (old.capacity - 1)
      const to = number & (this.#capacity - 1)
      this.#numbers.set(old.numbers.subarray(from * NUMBERS, (from + 1) * NUMBERS), to * NUMBERS)
      this.#places.set(old.places.subarray(from * PLACES, (from + 1) * PLACES), to * PLACES)
      this.#keys[to] = oldKeys[from]
      this.#values[to] = oldValues[from]
    }
  }
}

function versionIn(
  value: Uint8Array | undefined,
  numbers: Float64Array,
  places: Uint32Array,
  slot: number,
): Version | undefined {
  if (value === undefined || (places[slot * PLACES + FLAGS]! & HAD_VALUE) === 0) return undefined
  const offset = places[slot * PLACES + OFFSET]!
  const at = slot * NUMBERS
  return {
    value: value.subarray(offset, offset + places[slot * PLACES + LENGTH]!),
    createRevision: numbers[at + CREATE_REVISION]!,
    modRevision: numbers[at + MOD_REVISION]!,
    version: numbers[at + VERSION]!,
    leaseId: numbers[at + LEASE]!,
  }
}
