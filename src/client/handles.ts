type End = (error: Error) => void

interface Handle {
  readonly end: End
}

/**
 * What a client has given out and must end when it closes: watches, leases kept alive, sessions. A client made of
 * another, such as a namespace, has its own, which close with the other's.
 */
export class Handles {
  readonly #handles = new Set<Handle>()
  readonly #parent: Handles | undefined
  #closed: Error | undefined

  constructor(parent?: Handles) {
    this.#parent = parent
  }

  /** Throws why this client, or one that it was made of, is closed. */
  assertOpen(): void {
    if (this.#closed !== undefined) throw this.#closed
    this.#parent?.assertOpen()
  }

  /** `end` is called once, when the client closes. Gives the way to take it back. Throws why when the client is closed. */
  add(end: End): () => void {
    this.assertOpen()
    const handle = { end }
    this.#add(handle)
    return () => this.#delete(handle)
  }

  #add(handle: Handle): void {
    this.#handles.add(handle)
    if (this.#parent !== undefined) this.#parent.#add(handle)
  }

  #delete(handle: Handle): void {
    this.#handles.delete(handle)
    if (this.#parent !== undefined) this.#parent.#delete(handle)
  }

  closeAll(error: Error): void {
    this.#closed ??= error
    for (const handle of [...this.#handles]) {
      // One of those before may have ended it.
      if (!this.#handles.has(handle)) continue
      this.#delete(handle)
      handle.end(error)
    }
  }
}
