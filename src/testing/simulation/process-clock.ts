import type { Clock } from '../../machines/time-and-chance.js'
import type { VirtualWorld } from './virtual-world.js'

/**
 * Time as one simulated process sees it: running a little fast or slow, standing still for its callbacks while the
 * process is paused, and silent once it is dead. A timer that fires is reported a turn later, as the real clock does,
 * so that messages which waited through a pause are heard first.
 */
export class ProcessClock implements Clock {
  readonly #world: VirtualWorld
  readonly #turnMs: number
  #rate = 1
  /** This clock showed `shown` when the world's showed `at`. */
  #base: { readonly at: number; readonly shown: number }
  #isDead = false
  #isPaused = false
  #backlog: (() => void)[] = []

  /** `turnMs`: how busy the process is, so that what arrives meanwhile shares a turn of its loop. */
  constructor(world: VirtualWorld, startsAt = 0, turnMs = 0) {
    this.#world = world
    this.#turnMs = turnMs
    this.#base = { at: world.now(), shown: startsAt }
  }

  readonly now = (): number => this.#base.shown + (this.#world.now() - this.#base.at) * this.#rate
  readonly wallTime = (): number => this.#world.wallTime()

  readonly setTimeout = (callback: () => void, delayMs: number): unknown => {
    return this.#world.setTimeout(() => this.#run(() => this.defer(callback)), delayMs / this.#rate)
  }

  readonly clearTimeout = (timer: unknown): void => this.#world.clearTimeout(timer)

  readonly defer = (callback: () => void): void => {
    if (this.#turnMs > 0) this.#world.setTimeout(() => this.#run(callback), this.#turnMs)
    else this.#world.defer(() => this.#run(callback))
  }

  /** How fast it runs beside the world's clock from now on: 1.05 gains 5 %. */
  drift(rate: number): void {
    this.#base = { at: this.#world.now(), shown: this.now() }
    this.#rate = rate
  }

  /** The process stops running while time goes on (SIGSTOP, a long garbage collection, a suspended machine). */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    const backlog = this.#backlog
    this.#backlog = []
    for (const callback of backlog) this.defer(callback)
  }

  /** Nothing runs any more. */
  end(): void {
    this.#isDead = true
    this.#backlog = []
  }

  #run(callback: () => void): void {
    if (this.#isDead) return
    if (this.#isPaused) this.#backlog.push(callback)
    else callback()
  }
}
