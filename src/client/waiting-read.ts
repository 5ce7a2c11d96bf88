import type { ReadRequest } from '../actors/pending-reads.js'

/**
 * A read from its call until the server's own copy of the state may be read; then it looks with `read` for `key`. An
 * object of a class: closures would cost a linearizable read about a tenth more.
 */
export class WaitingRead<Key, Value> implements ReadRequest {
  isSettled = false
  readonly timeoutMs: number
  readonly reject: (error: Error) => void
  readonly #read: (key: Key) => Value
  readonly #key: Key
  readonly #resolve: (value: Value) => void

  constructor(
    read: (key: Key) => Value,
    key: Key,
    timeoutMs: number,
    resolve: (value: Value) => void,
    reject: (error: Error) => void,
  ) {
    this.#read = read
    this.#key = key
    this.timeoutMs = timeoutMs
    this.#resolve = resolve
    this.reject = reject
  }

  /** A read that throws fails alone: it runs in a turn of the server's loop, which an error would stop. */
  serve(): void {
    let value: Value
    try {
      value = this.#read(this.#key)
    } catch (error) {
      this.reject(error instanceof Error ? error : new Error(String(error)))
      return
    }
    this.#resolve(value)
  }
}
