/**
 * Doubly linked lists over the integers [0, items), in which an item taken out can be put back where it was in O(1),
 * provided that items are put back in the reverse of the order in which they were taken out.
 */
export class LinkedLists {
  readonly #items: number
  readonly #next: Int32Array
  readonly #previous: Int32Array

  /** `lists` empty lists, over items each of which may stand in one of them. */
  constructor(items: number, lists: number) {
    this.#items = items
    // A list's own node, at items + list, closes it to a ring.
    this.#next = Int32Array.from({ length: items + lists }, (_, node) => node)
    this.#previous = this.#next.slice()
  }

  append(list: number, item: number): void {
    const ring = this.#items + list
    const last = this.#previous[ring]!
    this.#next[last] = item
    this.#previous[item] = last
    this.#next[item] = ring
    this.#previous[ring] = item
  }

  /** -1 when the list is empty. */
  first(list: number): number {
    return this.after(this.#items + list)
  }

  /** -1 at the end. */
  after(item: number): number {
    const next = this.#next[item]!
    return next < this.#items ? next : -1
  }

  remove(item: number): void {
    const next = this.#next[item]!
    const previous = this.#previous[item]!
    this.#next[previous] = next
    this.#previous[next] = previous
  }

  restore(item: number): void {
    this.#next[this.#previous[item]!] = item
    this.#previous[this.#next[item]!] = item
  }
}
