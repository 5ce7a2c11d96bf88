import { seededRandom, type Random } from '../../machines/time-and-chance.js'

/** Chance in the forms that plans and workloads need it. */
export class Dice {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  /** The dice of one part of a run: parts with other names throw independently, so that one may change and others not. */
  static of(seed: number, part: string): Dice {
    let state = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b)
    for (let at = 0; at < part.length; at++)
      state = Math.imul(state ^ (state >>> 15) ^ part.charCodeAt(at), 0xc2b2_ae35)
    return new Dice(seededRandom(state ^ (state >>> 13)))
  }

  /** In [0, 1). */
  fraction(): number {
    return this.#random.uint32() / 0x1_0000_0000
  }

  /** An integer from 0 to `count` − 1. */
  below(count: number): number {
    return Math.floor(this.fraction() * count)
  }

  /** An integer from `min` to `max`. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1)
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  /** One of a list that is not empty. */
  pick<Item>(items: readonly Item[]): Item {
    if (items.length === 0) throw new RangeError('there is nothing to pick from')
    return items[this.below(items.length)]!
  }

  shuffled<Item>(items: readonly Item[]): Item[] {
    const order = items.map((item) => ({ item, rank: this.fraction() }))
    return order.sort((a, b) => a.rank - b.rank).map(({ item }) => item)
  }
}
