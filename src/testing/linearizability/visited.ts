import type { Usage } from './unreturned.js'

/**
 * Remembers the configurations that a search has met. One that was met before leads nowhere new; neither does one that
 * is the same but for having used up more of the never-returned writes: whatever it can still do, the other could too.
 */
export class Visited {
  readonly #usages = new Map<string, Usage[]>()

  /** Notes a configuration. False when it need not be looked at. */
  add(configuration: string, usage: Usage): boolean {
    const met = this.#usages.get(configuration)
    if (met === undefined) {
      this.#usages.set(configuration, [usage])
      return true
    }
    if (met.some((earlier) => isWithin(earlier, usage))) return false
    met.push(usage)
    return true
  }
}

function isWithin(usage: Usage, other: Usage): boolean {
  return usage === other || usage.every((used, kind) => used <= other[kind]!)
}
