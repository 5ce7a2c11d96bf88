import { ActorumError } from './errors.js'
import { shown } from './options.js'

/** Where the bytes of a backup go, one after another: a stream of Node's is one. It is left open at the end. */
export interface BackupStream {
  /** The bytes may not be kept once called back. */
  write(bytes: Uint8Array, callback: (error?: Error | null) => void): unknown
  /** Where there are `on` and `off`, a backup hears of `error` and `close` by them, and fails with either. */
  on?(event: 'error' | 'close', listener: (error?: unknown) => void): unknown
  off?(event: 'error' | 'close', listener: (error?: unknown) => void): unknown
}

/** A stream that is listened to until it is released: an `error` that nobody hears ends the process. */
export class HeardStream {
  readonly #stream: BackupStream
  #failure: ActorumError | undefined
  #hasSaidSo = false
  #isReleased = false
  #reject: (error: ActorumError) => void = () => undefined
  readonly #onError = (error: unknown): void => {
    this.#fail(error)
    this.#hasSaidSo = true
    if (this.#isReleased) this.#stopListening()
  }
  readonly #onClose = (): void => this.#onError(new Error('the stream was closed'))

  constructor(stream: BackupStream) {
    this.#stream = stream
    if (!isEmitter(stream)) return
    stream.on('error', this.#onError)
    stream.on('close', this.#onClose)
  }

  /** Rejects with STORAGE_FAILED, with what the stream failed with as the cause. */
  async write(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#reject = reject
      if (this.#failure !== undefined) return reject(this.#failure)
      try {
        this.#stream.write(bytes, (error) => {
          if (error === undefined || error === null) resolve()
          else this.#fail(error)
        })
      } catch (error) {
        this.#fail(error)
      }
    })
    // It may have failed as soon as it had called back.
    if (this.#failure !== undefined) throw this.#failure
  }

  /**
   * A stream that works is let go of at once. One that failed may say so later than it calls back: within a turn, or
   * once what is beneath it is closed.
   */
  release(): void {
    if (this.#failure === undefined) return this.#stopListening()
    setImmediate(() => {
      this.#isReleased = true
      if (this.#hasSaidSo || !isClosing(this.#stream)) this.#stopListening()
    })
  }

  #fail(cause: unknown): void {
    this.#failure ??= notWritten(cause)
    this.#reject(this.#failure)
  }

  #stopListening(): void {
    if (!isEmitter(this.#stream)) return
    this.#stream.off('error', this.#onError)
    this.#stream.off('close', this.#onClose)
  }
}

function isEmitter(stream: BackupStream): stream is Required<BackupStream> {
  return typeof stream.on === 'function' && typeof stream.off === 'function'
}

/** As streams of Node's tell it. */
function isClosing(stream: BackupStream & { readonly destroyed?: unknown; readonly closed?: unknown }): boolean {
  return stream.destroyed === true && stream.closed !== true
}

/** A stream is the caller's, and may fail with anything. */
function notWritten(cause: unknown): ActorumError {
  const why = cause instanceof Error ? cause.message : shown(cause)
  return new ActorumError('STORAGE_FAILED', `the backup was not written: ${why}`, { cause })
}
