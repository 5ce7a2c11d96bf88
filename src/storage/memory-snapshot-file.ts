const SMALLEST = 4096

/** Where the bytes of one write that was not synced are. */
interface Unsynced {
  readonly from: number
  readonly to: number
}

/** The bytes of a file in memory, and which of them a crash may take. */
export class MemorySnapshotFile {
  #bytes = new Uint8Array(SMALLEST)
  #length = 0
  #unsynced: Unsynced[] = []
  /** Its name may be lost in a crash while it has never been synced. */
  #isNamed = false

  get length(): number {
    return this.#length
  }

  get hasUnsynced(): boolean {
    return this.#unsynced.length > 0 || !this.#isNamed
  }

  read(offset: number, length: number): Uint8Array {
    return this.#bytes.slice(offset, Math.min(offset + length, this.#length))
  }

  write(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2))
      larger.set(this.#bytes.subarray(0, this.#length))
      this.#bytes = larger
    }
    this.#bytes.set(bytes, offset)
    this.#length = Math.max(this.#length, end)
    this.#unsynced.push({ from: offset, to: end })
  }

  truncate(length: number): void {
    if (length >= this.#length) return
    this.#bytes.fill(0, length, this.#length)
    this.#length = length
    this.#unsynced = this.#unsynced.flatMap(({ from, to }) =>
      from < length ? [{ from, to: Math.min(to, length) }] : [],
    )
  }

  sync(): void {
    this.#unsynced = []
    this.#isNamed = true
  }

  /** The name is durable; what the file holds need not be. */
  name(): void {
    this.#isNamed = true
  }

  /**
   * Loses what was not synced, but for what `survives`. Before a write that survived, a lost one leaves zeros. False
   * when the whole file is lost.
   */
  crash(survives: () => boolean): boolean {
    if (!this.#isNamed && !survives()) return false
    let end = this.#length
    const lost = this.#unsynced.filter(() => !survives())
    for (const { from, to } of lost.toReversed()) {
      this.#bytes.fill(0, from, to)
      if (to === end) end = from
    }
    this.#length = end
    this.sync()
    return true
  }

  /** Flips a bit. */
  corrupt(offset: number): void {
    if (offset < this.#length) this.#bytes[offset] = (this.#bytes[offset] ?? 0) ^ 1
  }
}
