import type { Socket } from 'node:net'
import type { Weather } from './weather.js'

/** Beyond this many bytes on the way the sender is read no further, so that its own buffers fill, as they would. */
const UNDER_WAY_BYTES_MAX = 256 * 1024

/** Bytes on their way, or (undefined) the end of the connection. */
interface Parcel {
  readonly bytes: Uint8Array | undefined
  readonly sentAt: number
}

/** One direction of a proxied connection: from one socket to another, in order, as the weather lets it. */
export class Flow {
  readonly #from: Socket
  readonly #to: Socket
  readonly #weather: () => Weather
  readonly #queue: Parcel[] = []
  #bytes = 0
  #deliveredAt = 0
  #timer: NodeJS.Timeout | undefined

  /** `look` sees every piece before it sets out. */
  constructor(from: Socket, to: Socket, weather: () => Weather, look: (bytes: Uint8Array) => void = () => undefined) {
    this.#from = from
    this.#to = to
    this.#weather = weather
    from.on('data', (bytes: Uint8Array) => {
      look(bytes)
      this.#send(bytes)
    })
    from.once('close', () => this.#send(undefined))
    to.on('drain', () => this.pump())
    to.once('close', () => this.stop())
  }

  /** Delivers what is due. To be called again whenever the weather has changed: what is on its way feels it too. */
  pump(): void {
    clearTimeout(this.#timer)
    for (let parcel = this.#queue[0]; parcel !== undefined; parcel = this.#queue[0]) {
      const weather = this.#weather()
      if (weather.passage === 'held' || this.#to.writableNeedDrain) return
      const wait = this.#dueAt(parcel, weather) - performance.now()
      if (wait > 0) {
        this.#timer = setTimeout(() => this.pump(), wait)
        return
      }
      this.#queue.shift()
      this.#deliver(parcel.bytes)
    }
  }

  /** Drops what is on its way. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#queue.length = 0
  }

  #send(bytes: Uint8Array | undefined): void {
    this.#queue.push({ bytes, sentAt: performance.now() })
    this.#bytes += bytes?.length ?? 0
    if (this.#bytes > UNDER_WAY_BYTES_MAX) this.#from.pause()
    this.pump()
  }

  #dueAt({ bytes, sentAt }: Parcel, { delayMs, bytesPerSecond }: Weather): number {
    return Math.max(sentAt + delayMs, this.#deliveredAt) + (1000 * (bytes?.length ?? 0)) / bytesPerSecond
  }

  #deliver(bytes: Uint8Array | undefined): void {
    if (bytes === undefined) {
      this.#to.destroy()
      return
    }
    this.#bytes -= bytes.length
    this.#deliveredAt = performance.now()
    this.#to.write(bytes)
    if (this.#bytes <= UNDER_WAY_BYTES_MAX / 2) this.#from.resume()
  }
}
