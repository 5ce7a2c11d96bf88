import type { Clock } from '../machines/time-and-chance.js'
import type { ServerId } from '../machines/types.js'

/** Collects the peers to whom something was dropped in this turn, and reports each once at its end. */
export class DroppedPeers {
  readonly #clock: Clock
  readonly #report: (peer: ServerId) => void
  #peers = new Set<ServerId>()

  constructor(clock: Clock, report: (peer: ServerId) => void) {
    this.#clock = clock
    this.#report = report
  }

  add(peer: ServerId): void {
    if (this.#peers.size === 0) this.#clock.defer(() => this.#flush())
    this.#peers.add(peer)
  }

  #flush(): void {
    const peers = this.#peers
    this.#peers = new Set()
    for (const peer of peers) this.#report(peer)
  }
}
