import type { Checksum, LogIndex } from '../../machines/types.js'
import { decodeServerRecord } from '../server-record.js'
import type { Watermark } from '../watermark.js'
import type { Frame } from './format.js'
import type { LogPosition } from './replay.js'

/**
 * Finds the frames of which only the operating system says that they are on the disk. A write that failed may have left
 * its bytes in the cache, whence a later start reads them; and a sync would succeed then, since the failure was reported
 * once already. What the watermark covers was synced without a failure.
 */
export class Unproven {
  readonly #mark: Pick<Watermark, 'lastIndex' | 'recordVersion'>
  readonly #checksum: Checksum
  #first: LogPosition | undefined
  /** The last frame, if all that it does is to truncate: that shows in no watermark. */
  #truncation: LogPosition | undefined

  constructor(mark: Pick<Watermark, 'lastIndex' | 'recordVersion'>, checksum: Checksum) {
    this.#mark = mark
    this.#checksum = checksum
  }

  /** Where they begin; undefined where there are none. */
  get from(): LogPosition | undefined {
    return this.#first ?? this.#truncation
  }

  /** The next frame that is believed. */
  take(frame: Frame, position: LogPosition): void {
    this.#truncation = frame.truncateFrom !== undefined && frame.runs.length === 0 ? position : undefined
    if (this.#first === undefined && !this.#isCovered(frame)) this.#first = position
  }

  #isCovered({ runs, serverRecord }: Frame): boolean {
    const lastIndex: LogIndex = runs.at(-1)?.lastIndex ?? 0
    return lastIndex <= this.#mark.lastIndex && this.#versionOf(serverRecord) <= this.#mark.recordVersion
  }

  /** One that cannot be read will be refused. */
  #versionOf(serverRecord: Uint8Array | undefined): number {
    if (serverRecord === undefined) return 0
    const record = decodeServerRecord(serverRecord, this.#checksum)
    return 'malformed' in record ? 0 : record.version
  }
}
