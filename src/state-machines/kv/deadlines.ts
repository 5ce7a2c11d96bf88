/** What ends at a time unless it is given more. */
export interface Deadline {
  /** Cluster time, in milliseconds. May move to later at any time, without a word to the queue. */
  deadline: number
  /** Decides between two of the same deadline, together with `key`. */
  readonly id: number
  readonly key?: string | undefined
  /** The queue's own: the deadline by which it stands in the heap, and where. */
  queuedAt: number
  place: number
}

/**
 * The deadlines of many, the earliest first: a binary heap. An item given more time is not moved until it comes up, so
 * that keeping alive costs nothing here. The order is total and by content alone, the same on every server, also on one
 * that was restored from a snapshot.
 */
export class Deadlines<Item extends Deadline> {
  readonly #heap: Item[] = []

  get size(): number {
    return this.#heap.length
  }

  /** The item that ends first, where it stays. */
  get first(): Item | undefined {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (first.queuedAt >= first.deadline) return first
      first.queuedAt = first.deadline
      this.#sink(first, 0)
    }
    return undefined
  }

  add(item: Item): void {
    item.queuedAt = item.deadline
    this.#heap.push(item)
    this.#rise(item, this.#heap.length - 1)
  }

  remove(item: Item): void {
    const last = this.#heap.pop()
    if (last === undefined || last === item) return
    const { place } = item
    this.#rise(last, place)
    this.#sink(last, last.place)
  }

  #rise(item: Item, from: number): void {
    const heap = this.#heap
    let place = from
    while (place > 0) {
      const above = (place - 1) >> 1
      const parent = heap[above]!
      if (!isBefore(item, parent)) break
      this.#set(parent, place)
      place = above
    }
    this.#set(item, place)
  }

  #sink(item: Item, from: number): void {
    const heap = this.#heap
    let place = from
    for (;;) {
      let below = 2 * place + 1
      const [left, right] = [heap[below], heap[below + 1]]
      if (left === undefined) break
      let child = left
      if (right !== undefined && isBefore(right, left)) {
        child = right
        below++
      }
      if (!isBefore(child, item)) break
      this.#set(child, place)
      place = below
    }
    this.#set(item, place)
  }

  #set(item: Item, place: number): void {
    this.#heap[place] = item
    item.place = place
  }
}

function isBefore(one: Deadline, other: Deadline): boolean {
  if (one.queuedAt !== other.queuedAt) return one.queuedAt < other.queuedAt
  if (one.id !== other.id) return one.id < other.id
  return (one.key ?? '') < (other.key ?? '')
}
