import { ActorumError } from '../errors.js'
import type { SnapshotId } from '../machines/types.js'
import type { SnapshotSink } from '../state-machines/ports.js'
import type { Callback, SnapshotReader } from '../storage/ports.js'
import type { SnapshotActorPorts } from './snapshot-actor.js'

interface Restoring {
  readonly sink: SnapshotSink
  readonly reader: SnapshotReader
}

/** Reads a stored snapshot into the state machine, a chunk a turn. */
export class SnapshotRestoring {
  readonly #ports: Pick<SnapshotActorPorts, 'store' | 'stateMachine' | 'clock'>
  /** Called back once, at the end. */
  #callback: Callback | undefined
  #restoring: Restoring | undefined

  constructor(ports: Pick<SnapshotActorPorts, 'store' | 'stateMachine' | 'clock'>) {
    this.#ports = ports
  }

  /** One at a time. The state is the old one until it is all of the new one. */
  restore(id: SnapshotId, callback: Callback): void {
    if (this.#callback !== undefined) {
      callback(new ActorumError('INVALID_ARGUMENT', 'A snapshot is being restored; wait for its end before another.'))
      return
    }
    this.#callback = callback
    this.#ports.store.openReader(id, (error, reader) => {
      const isCurrent = this.#callback === callback
      if (error === undefined && isCurrent) this.#begin(reader)
      else if (error === undefined) reader.close()
      else if (isCurrent) this.#end(error)
    })
  }

  stop(): void {
    if (this.#callback !== undefined)
      this.#end(new ActorumError('STOPPED', 'The server stopped before it was restored.'))
  }

  #begin(reader: SnapshotReader): void {
    let sink: SnapshotSink
    try {
      sink = this.#ports.stateMachine.restore()
    } catch (error) {
      reader.close()
      this.#end(toError(error))
      return
    }
    this.#restoring = { sink, reader }
    this.#go(this.#restoring)
  }

  #go(restoring: Restoring): void {
    if (this.#restoring !== restoring) return
    restoring.reader.next((error, chunk) => {
      if (this.#restoring !== restoring) return
      const failure = error ?? attempt(() => (chunk === undefined ? restoring.sink.end() : restoring.sink.write(chunk)))
      if (failure !== undefined || chunk === undefined) this.#end(failure)
      else this.#ports.clock.defer(() => this.#go(restoring))
    })
  }

  #end(error: Error | undefined): void {
    const [callback, restoring] = [this.#callback, this.#restoring]
    this.#callback = this.#restoring = undefined
    if (error !== undefined) restoring?.sink.abandon()
    restoring?.reader.close()
    callback?.(error)
  }
}

function attempt(act: () => void): Error | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    return toError(error)
  }
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
