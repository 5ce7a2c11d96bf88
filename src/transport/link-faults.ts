import type { Random } from '../machines/time-and-chance.js'

/** What a simulated link does to what it carries, in one direction. */
export interface LinkFaults {
  /** Milliseconds on the way: always the same, or uniform between two. Default 0: the end of the turn. */
  readonly delayMs: number | readonly [min: number, max: number]
  /** Chance (0 to 1) that a frame vanishes. Default 0. */
  readonly loss: number
  /** Chance that a frame arrives twice. Default 0. */
  readonly duplication: number
  /** Chance that a frame is held back, up to `reorderMs` longer, while later ones overtake it. Default 0. */
  readonly reordering: number
  /** Default 20. */
  readonly reorderMs: number
  /** Chance that one bit of a frame is flipped. The receiver then refuses it, and the connection is reset. Default 0. */
  readonly corruption: number
}

export const NO_FAULTS: LinkFaults = {
  delayMs: 0,
  loss: 0,
  duplication: 0,
  reordering: 0,
  reorderMs: 20,
  corruption: 0,
}

/**
 * How a link is cut. `silent`: frames vanish and nobody is told, as when a cable is pulled. `noticed`: its connections
 * break too, as when a firewall resets them.
 */
export type Cut = 'silent' | 'noticed'

/** Draws what befalls a frame. */
export class LinkChance {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  happens(chance: number): boolean {
    return chance > 0 && this.fraction() < chance
  }

  /** Milliseconds on the way. */
  delayMs({ delayMs }: LinkFaults): number {
    if (typeof delayMs === 'number') return delayMs
    const [min, max] = delayMs
    return min + this.fraction() * (max - min)
  }

  /** From 0 up to, but not, 1. */
  fraction(): number {
    return this.#random.uint32() / 0x1_0000_0000
  }
}
