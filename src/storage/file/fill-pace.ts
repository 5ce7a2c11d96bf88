/**
 * Spreads the making of the next segment over the use of the present one. Made in one go, it would hold up the log's own
 * writes, on the same disk, for as long as it takes.
 */
export class FillPace {
  #allowed = 0
  #refusal: Error | undefined
  #waiting: { readonly share: number; readonly settle: () => void } | undefined

  /** Waits until so much of the segment may be filled, a share from 0 to 1; one at a time. Throws what it was given up for. */
  async until(share: number): Promise<void> {
    if (this.#refusal === undefined && share > this.#allowed) {
      await new Promise<void>((settle) => (this.#waiting = { share, settle }))
    }
    if (this.#refusal !== undefined) throw this.#refusal
  }

  /** So much may be filled by now. */
  allow(share: number): void {
    this.#allowed = Math.max(this.#allowed, share)
    if (this.#waiting !== undefined && this.#waiting.share <= this.#allowed) this.#wake()
  }

  /** The segment will not be needed. */
  giveUp(reason: Error): void {
    this.#refusal = reason
    this.#wake()
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.settle()
  }
}
