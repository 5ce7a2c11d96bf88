import { ActorumError } from '../errors.js'
import type { Transport } from './ports.js'

/** The transport of a server that has no peers: nothing listens and nothing is dialled. */
export class LoneTransport implements Transport {
  start(...[, , callback]: Parameters<Transport['start']>): void {
    callback(undefined)
  }

  setPeers(): void {}

  setClusterId(): void {}

  send(): void {}

  ask(...[address, , callback]: Parameters<Transport['ask']>): void {
    const text = `cannot ask the server at ${address}: this server does not listen, so no peer could reach it`
    callback(new ActorumError('TRANSPORT_FAILED', text), undefined)
  }

  stop(callback: () => void): void {
    callback()
  }
}
