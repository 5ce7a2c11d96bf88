import type { KvEntry } from '../../state-machines/kv/results.js'
import type { Observation, ObserveEvent } from '../watch-api.js'
import { textOf } from './names.js'

/**
 * What the entries below a prefix come to, now and after each change of it. For one consumer; `cancel` ends it, as does
 * leaving the loop.
 */
export class LiveView<View> implements AsyncIterable<View>, AsyncDisposable {
  readonly #observation: Observation
  readonly #view: (entries: readonly KvEntry[]) => View
  readonly #isSame: (one: View, other: View) => boolean
  readonly #entries = new Map<string, KvEntry>()
  #last: { readonly view: View } | undefined

  constructor(
    observation: Observation,
    view: (entries: readonly KvEntry[]) => View,
    isSame: (one: View, other: View) => boolean,
  ) {
    this.#observation = observation
    this.#view = view
    this.#isSame = isSame
  }

  /** What was last given out; undefined before that. */
  get latest(): View | undefined {
    return this.#last?.view
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<View, void, undefined> {
    for await (const event of this.#observation) {
      this.#take(event)
      const view = this.#view([...this.#entries.values()])
      if (this.#last !== undefined && this.#isSame(this.#last.view, view)) continue
      this.#last = { view }
      yield view
    }
  }

  cancel(): void {
    this.#observation.cancel()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#observation[Symbol.asyncDispose]()
  }

  #take(event: ObserveEvent): void {
    switch (event.type) {
      case 'state':
        this.#entries.clear()
        for (const entry of event.entries) this.#entries.set(textOf(entry.key), entry)
        return
      case 'changes':
        for (const change of event.changes) {
          if (change.type === 'put') this.#entries.set(textOf(change.entry.key), change.entry)
          else this.#entries.delete(textOf(change.key))
        }
        return
      case 'progress':
    }
  }
}

export function isSameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at])
}
