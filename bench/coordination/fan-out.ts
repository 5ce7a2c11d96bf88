import type { ClientApi, KeySelector, WatchEvent } from '../../src/index.js'
import { keyIn, VALUE_BYTES } from './keys.js'
import { sharedNow } from './shared-clock.js'

/** The key of the one writer. */
const KEY = keyIn('watched', 0)
/** Writes of it that not all watchers have: as many as let the writer go on, few enough that none waits for long. */
const AHEAD_MAX = 2

/** When all watchers had a write, by the clock that processes share. */
export type Moment = readonly [sequence: number, atMs: number]

/** A write that was answered, by the same clock. */
export interface Announcement {
  readonly sequence: number
  readonly calledAtMs: number
  readonly answeredAtMs: number
}

export interface Announced {
  readonly answered: readonly Announcement[]
  readonly seconds: number
}

/** Writes one key in a closed loop, each value with its number, and waits for watchers who are too far behind. */
export class Announcer {
  readonly #client: ClientApi
  readonly #value = new Uint8Array(VALUE_BYTES)
  readonly #number = new DataView(this.#value.buffer)
  #answered: Announcement[] = []
  #since = 0
  #seen = 0
  #isStopped = false
  #goOn: () => void = () => undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(client: ClientApi) {
    this.#client = client
  }

  begin(): void {
    this.#writing = this.#write()
    this.#writing.catch(() => (this.#isStopped = true))
  }

  /** All watchers have this write. */
  seen(sequence: number): void {
    this.#seen = Math.max(this.#seen, sequence)
    this.#goOn()
  }

  mark(): void {
    this.#answered = []
    this.#since = performance.now()
  }

  /** Since the mark. */
  announced(): Announced {
    return { answered: this.#answered, seconds: (performance.now() - this.#since) / 1000 }
  }

  /** Rejects if any write failed. */
  async end(): Promise<void> {
    this.#isStopped = true
    this.#goOn()
    await this.#writing
  }

  async #write(): Promise<void> {
    for (let sequence = 1; !this.#isStopped; sequence++) {
      this.#number.setFloat64(0, sequence)
      const calledAtMs = sharedNow()
      await this.#client.put(KEY, this.#value)
      this.#answered.push({ sequence, calledAtMs, answeredAtMs: sharedNow() })
      while (!this.#isStopped && sequence - this.#seen > AHEAD_MAX) {
        await new Promise<void>((resolve) => (this.#goOn = resolve))
      }
    }
  }
}

/** Which keys are watched: the announcer's, or one for each watcher that nobody writes. */
export interface Watching {
  readonly watchers: number
  readonly of: 'writtenKey' | 'otherKeys' | 'otherPrefixes'
}

export interface AudienceListener {
  seenByAll(sequence: number): void
  /** `lastSeenByAll` says why. */
  failed(): void
}

/** Watchers on one server, each an async iteration of its own. */
export class Audience {
  readonly #count: number
  readonly #listener: AudienceListener
  readonly #cancels: (() => void)[] = []
  readonly #watching: Promise<unknown>
  readonly #missing = new Map<number, number>()
  #sightings: Moment[] = []
  #last = 0
  #failure: Error | undefined

  constructor(client: ClientApi, { watchers, of }: Watching, listener: AudienceListener) {
    this.#count = watchers
    this.#listener = listener
    this.#watching = Promise.all(Array.from({ length: watchers }, (_, at) => this.#watch(client, watched(of, at))))
    this.#watching.catch((error: unknown) => {
      this.#failure = toError(error)
      listener.failed()
    })
  }

  /** The last write that all have. Throws why a watch failed. */
  get lastSeenByAll(): number {
    if (this.#failure !== undefined) throw this.#failure
    return this.#last
  }

  mark(): void {
    this.#sightings = []
  }

  /** Since the mark: when the last watcher had each write. */
  get sightings(): readonly Moment[] {
    return this.#sightings
  }

  async end(): Promise<void> {
    this.#cancels.forEach((cancel) => cancel())
    await this.#watching
  }

  async #watch(client: ClientApi, keys: KeySelector): Promise<void> {
    const watch = client.watch(keys)
    this.#cancels.push(() => watch.cancel())
    for await (const event of watch) this.#saw(event)
  }

  #saw(event: WatchEvent): void {
    if (event.type !== 'changes') return
    for (const change of event.changes) {
      if (change.type !== 'put') continue
      const { value } = change.entry
      const sequence = new DataView(value.buffer, value.byteOffset).getFloat64(0)
      const missing = (this.#missing.get(sequence) ?? this.#count) - 1
      if (missing > 0) {
        this.#missing.set(sequence, missing)
        continue
      }
      this.#missing.delete(sequence)
      this.#sightings.push([sequence, sharedNow()])
      this.#last = sequence
      this.#listener.seenByAll(sequence)
    }
  }
}

function watched(of: Watching['of'], at: number): KeySelector {
  if (of === 'writtenKey') return { key: KEY }
  return of === 'otherKeys' ? { key: keyIn('lone', at) } : { prefix: `${keyIn('lone', at)}/` }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
