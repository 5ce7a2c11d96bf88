import { closeSync, constants, fdatasync, openSync, readSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { syncDirectory } from './file-directories.js'
import type { Callback } from './ports.js'
import { WATERMARK_SLOT_BYTES, WATERMARK_SLOTS } from './watermark.js'

/** Each slot on a page of its own. */
const SLOT_SPACING_BYTES = 4096

/**
 * The watermark's two slots as a file. A write is one positional write of 40 bytes into the operating system's cache,
 * 2 µs, and so made at once: after each synced write of the log it is not worth a turn of the thread pool.
 */
export class WatermarkFile {
  readonly #path: string
  #descriptor: number | undefined
  /** Made since the last sync: its name must outlive a crash too. */
  #isNew = false

  constructor(path: string) {
    this.#path = path
  }

  /** The slots as they are; undefined where there is no file. Throws what the operating system reports. */
  open(): Uint8Array[] | undefined {
    const descriptor = openIfThere(this.#path)
    if (descriptor === undefined) return undefined
    this.#descriptor = descriptor
    return Array.from({ length: WATERMARK_SLOTS }, (_, slot) => readSlot(descriptor, slot))
  }

  /** Makes the file where there is none. */
  write(slot: number, bytes: Uint8Array): void {
    this.#descriptor ??= this.#create()
    const written = writeSync(this.#descriptor, bytes, 0, bytes.length, slot * SLOT_SPACING_BYTES)
    if (written !== bytes.length) throw new Error(`${written} of ${bytes.length} bytes of the watermark were written`)
  }

  sync(callback: Callback): void {
    if (this.#descriptor === undefined) return callback(undefined)
    fdatasync(this.#descriptor, (error) => {
      if (error !== null || !this.#isNew) return callback(error ?? undefined)
      this.#isNew = false
      syncDirectories(this.#path).then(() => callback(undefined), callback)
    })
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }

  #create(): number {
    this.#isNew = true
    return openSync(this.#path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o644)
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDWR)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function readSlot(descriptor: number, slot: number): Uint8Array {
  const bytes = new Uint8Array(WATERMARK_SLOT_BYTES)
  return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, slot * SLOT_SPACING_BYTES))
}

/** The file's name, and its directory's, which is new too. */
async function syncDirectories(path: string): Promise<void> {
  await syncDirectory(dirname(path))
  await syncDirectory(dirname(dirname(path)))
}
