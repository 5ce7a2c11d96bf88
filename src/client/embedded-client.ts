import type { ActorumError } from '../errors.js'
import type { CallDefaults } from './calls.js'
import { EmbeddedStore, type EmbeddedStorePorts } from './embedded-store.js'
import { Handles } from './handles.js'
import { StoreClient } from './store-client.js'
import type { StoreLimits } from './store-port.js'

/** The client inside a server's own process. */
export class EmbeddedClient extends StoreClient {
  readonly #handles: Handles

  constructor(ports: EmbeddedStorePorts, options: CallDefaults & StoreLimits) {
    const store = new EmbeddedStore(ports, options)
    const handles = new Handles()
    handles.add((error) => store.end(error))
    super(store, handles)
    this.#handles = handles
  }

  /** Its engine is stopped, or has stopped by itself: what was given out ends with `error`. */
  closeWith(error: ActorumError): void {
    this.#handles.closeAll(error)
  }
}
