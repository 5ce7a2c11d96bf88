import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { Flow } from './flow.js'
import { HelloReader } from './hello-reader.js'
import { FAIR, type Weather } from './weather.js'

/** The weather on the way from a server; from a dialler that has not said who it is, it is fair. */
type WeatherFrom = (from: number) => Weather

/** One connection through a proxy: bytes both ways share the weather of the dialler's way to the proxied server. */
class ProxiedConnection {
  readonly #dialler: Socket
  readonly #server: Socket
  readonly #weatherFrom: WeatherFrom
  readonly #flows: readonly Flow[]
  #from: number | undefined

  constructor(dialler: Socket, server: Socket, weatherFrom: WeatherFrom) {
    this.#dialler = dialler
    this.#server = server
    this.#weatherFrom = weatherFrom
    const reader = new HelloReader()
    const meet = (bytes: Uint8Array): void => {
      this.#from ??= reader.read(bytes)
      this.weatherChanged()
    }
    const weather = (): Weather => this.#weather
    this.#flows = [new Flow(dialler, server, weather, meet), new Flow(server, dialler, weather)]
    dialler.on('error', () => dialler.destroy())
    // Nobody listens there, or the process has died: the dialler sees what it would see without a proxy.
    server.on('error', () => this.reset())
  }

  get #weather(): Weather {
    return this.#from === undefined ? FAIR : this.#weatherFrom(this.#from)
  }

  weatherChanged(): void {
    if (this.#weather.passage === 'reset') this.reset()
    else this.#flows.forEach((flow) => flow.pump())
  }

  reset(): void {
    for (const flow of this.#flows) flow.stop()
    for (const socket of [this.#dialler, this.#server]) {
      if (!socket.destroyed) socket.resetAndDestroy()
    }
  }
}

/** Stands before one server, at an address that stays while the server's own changes from start to start. */
export class Proxy {
  readonly #weatherFrom: WeatherFrom
  readonly #listener: Server
  readonly #connections = new Set<ProxiedConnection>()
  #port: number | undefined

  private constructor(weatherFrom: WeatherFrom) {
    this.#weatherFrom = weatherFrom
    this.#listener = createServer({ noDelay: true }, (dialler) => this.#accept(dialler))
  }

  static async listen(weatherFrom: WeatherFrom): Promise<Proxy> {
    const proxy = new Proxy(weatherFrom)
    await new Promise<void>((resolve, reject) => {
      proxy.#listener.once('error', reject)
      proxy.#listener.listen(0, '127.0.0.1', resolve)
    })
    return proxy
  }

  /** `host:port` where the server is to be dialled. */
  get address(): string {
    return `127.0.0.1:${(this.#listener.address() as AddressInfo).port}`
  }

  /** Where the server itself listens. */
  leadTo(port: number): void {
    this.#port = port
  }

  weatherChanged(): void {
    for (const connection of this.#connections) connection.weatherChanged()
  }

  close(): Promise<void> {
    for (const connection of this.#connections) connection.reset()
    return new Promise((resolve) => this.#listener.close(() => resolve()))
  }

  #accept(dialler: Socket): void {
    if (this.#port === undefined) {
      dialler.resetAndDestroy()
      return
    }
    const server = connect({ host: '127.0.0.1', port: this.#port, noDelay: true })
    const connection = new ProxiedConnection(dialler, server, this.#weatherFrom)
    this.#connections.add(connection)
    const forget = (): void => {
      if (dialler.closed && server.closed) this.#connections.delete(connection)
    }
    dialler.once('close', forget)
    server.once('close', forget)
  }
}
