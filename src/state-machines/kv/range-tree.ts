import { isInRange, type KeyChars, type KeyRange } from './keys.js'

/** Above every key: these have characters up to 255. */
const ABOVE_ALL = '\u0100'
/** Ranges that wait beside the tree: a scan of so many costs less than making it anew. */
const BESIDE_MAX = 64

/** Equal ranges are one node, however many have them. */
interface Node<Item> {
  readonly range: KeyRange
  readonly items: Set<Item>
  /** Above every key in it and, once in the tree, in those below it. */
  end: string
}

/**
 * Which ranges have a key. An interval tree, in an array sorted by `from`: the root is in the middle, its subtrees left
 * and right of it, and each knows the highest end below it. It is made anew when enough has come or gone.
 */
export class RangeTree<Item> {
  readonly #nodes = new Map<string, Node<Item>>()
  #tree: Node<Item>[] = []
  #beside: Node<Item>[] = []
  #emptied = 0

  /** Gives the way to take it out again, to be called once. */
  add(range: KeyRange, item: Item): () => void {
    const name = nameOf(range)
    let node = this.#nodes.get(name)
    if (node === undefined) {
      node = { range, items: new Set(), end: range.to ?? ABOVE_ALL }
      this.#nodes.set(name, node)
      this.#beside.push(node)
    } else if (node.items.size === 0) {
      this.#emptied--
    }
    const { items } = node
    items.add(item)
    if (this.#beside.length > BESIDE_MAX) this.#rebuild()
    return () => {
      items.delete(item)
      if (items.size === 0 && ++this.#emptied > Math.max(BESIDE_MAX, this.#nodes.size >> 1)) this.#rebuild()
    }
  }

  covers(key: KeyChars): boolean {
    let covered = false
    this.#eachNode(key, ({ items }) => {
      covered ||= items.size > 0
    })
    return covered
  }

  visit(key: KeyChars, visit: (item: Item) => void): void {
    this.#eachNode(key, ({ items }) => items.forEach(visit))
  }

  #eachNode(key: KeyChars, visit: (node: Node<Item>) => void): void {
    for (const node of this.#beside) {
      if (isInRange(key, node.range)) visit(node)
    }
    this.#search(0, this.#tree.length, key, visit)
  }

  #search(low: number, high: number, key: KeyChars, visit: (node: Node<Item>) => void): void {
    const middle = (low + high) >> 1
    const node = this.#tree[middle]
    if (low >= high || node === undefined || node.end <= key) return
    this.#search(low, middle, key, visit)
    if (key < node.range.from) return
    if (isInRange(key, node.range)) visit(node)
    this.#search(middle + 1, high, key, visit)
  }

  #rebuild(): void {
    for (const [name, { items }] of this.#nodes) {
      if (items.size === 0) this.#nodes.delete(name)
    }
    this.#emptied = 0
    // Nearly sorted, which this sort makes use of.
    this.#tree = [...this.#tree, ...this.#beside]
      .filter(({ items }) => items.size > 0)
      .sort((one, other) => compare(one.range.from, other.range.from))
    this.#beside = []
    this.#raiseEnds(0, this.#tree.length)
  }

  /** Gives the highest end in the subtree. */
  #raiseEnds(low: number, high: number): string {
    const middle = (low + high) >> 1
    const node = this.#tree[middle]
    if (low >= high || node === undefined) return ''
    const ends = [node.range.to ?? ABOVE_ALL, this.#raiseEnds(low, middle), this.#raiseEnds(middle + 1, high)]
    node.end = ends.reduce((highest, end) => (end > highest ? end : highest))
    return node.end
  }
}

function nameOf({ from, to }: KeyRange): string {
  const name = `${from.length},${from}`
  return to === undefined ? name : `${name}-${to}`
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
