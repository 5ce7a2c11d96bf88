import { Level } from 'level'

/** Batches on disk: a record each, one write in flight; what arrives meanwhile goes into the next write. */
export class Disk {
  readonly #level: Level<Uint8Array, Uint8Array>
  readonly #sync: boolean
  #waiting: Buffer[] = []
  #writing = false
  /** Called after each write with the batches that it wrote. */
  onWritten: (batches: readonly Buffer[]) => void = () => undefined

  private constructor(level: Level<Uint8Array, Uint8Array>, sync: boolean) {
    this.#level = level
    this.#sync = sync
  }

  static async open(location: string, sync: boolean): Promise<Disk> {
    const level = new Level<Uint8Array, Uint8Array>(location, {
      keyEncoding: 'view',
      valueEncoding: 'view',
      compression: false,
      writeBufferSize: 16 * 1024 * 1024,
    })
    await level.open()
    return new Disk(level, sync)
  }

  get writing(): boolean {
    return this.#writing
  }

  append(batch: Buffer): void {
    this.#waiting.push(batch)
    if (!this.#writing) void this.#write()
  }

  async #write(): Promise<void> {
    const batches = this.#waiting
    this.#waiting = []
    this.#writing = true
    const [only] = batches
    if (only !== undefined && batches.length === 1) {
      await this.#level.put(numberBytes(only), only, { sync: this.#sync })
    } else {
      const puts = batches.map((batch) => ({ type: 'put' as const, key: numberBytes(batch), value: batch }))
      await this.#level.batch(puts, { sync: this.#sync })
    }
    this.#writing = false
    this.onWritten(batches)
    if (this.#waiting.length > 0 && !this.#writing) void this.#write()
  }
}

/** The batch's number as the frame carries it: big-endian doubles sort as their numbers do. */
function numberBytes(batch: Buffer): Uint8Array {
  return batch.subarray(1, 9)
}
