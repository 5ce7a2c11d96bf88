import type { Transport } from './ports.js'

/** The transport of a server that has no peers: nothing listens and nothing is dialled. */
export class LoneTransport implements Transport {
  start(...[, , callback]: Parameters<Transport['start']>): void {
    callback(undefined)
  }

  setPeers(): void {}

  setClusterId(): void {}

  send(): void {}

  stop(callback: () => void): void {
    callback()
  }
}
