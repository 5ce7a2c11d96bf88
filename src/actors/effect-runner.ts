import { ActorumError } from '../errors.js'
import type { Answer, Commit, Effect, EntriesRequest, Persist, SnapshotWork } from '../machines/effects.js'
import type { EntryRun } from '../machines/entry-run.js'
import type { Instant, LocalEvent, Persisted } from '../machines/events.js'
import { unreachable } from '../machines/invariant.js'
import type { Envelope } from '../machines/messages.js'
import type { Boundary, HardState, LogIndex } from '../machines/types.js'
import type { LogStore, LogWrite } from '../storage/ports.js'
import type { Transport } from '../transport/ports.js'

/** Several steps of the machine as one write, and the messages that wait for it. */
export interface MergedWrite {
  readonly write: LogWrite
  readonly messages: readonly Envelope[]
  readonly hardState: HardState | undefined
  readonly lastIndex: LogIndex
  readonly truncations: number
}

export interface EffectRunnerPorts {
  readonly transport: Transport
  readonly store: Pick<LogStore, 'read' | 'write'>
  /** Applies what is committed. */
  readonly commit: (commit: Commit) => void
  readonly answer: (answer: Answer) => void
  readonly workOnSnapshot: (work: SnapshotWork) => void
  readonly notify: (text: string) => void
  /** A write completed; called from the store's callback. */
  readonly written: (write: MergedWrite) => void
  readonly post: (event: LocalEvent) => void
  readonly fail: (error: Error) => void
}

/**
 * Does what a machine decided. One write is in flight at a time; the steps that arrive meanwhile form the next (group
 * commit), since overlapping writes could complete out of order. After a failed write nothing is written again.
 */
export class EffectRunner {
  readonly #ports: EffectRunnerPorts
  #waiting: Persist[] = []
  #isWriting = false
  #hasFailed = false
  #clusterId: string | undefined
  /** The end of what has been handed to the store, and the machine's count of truncations by then. */
  #writtenIndex: LogIndex
  #truncations = 0

  constructor(ports: EffectRunnerPorts, lastIndex: LogIndex) {
    this.#ports = ports
    this.#writtenIndex = lastIndex
  }

  /** True from the start of a write until it has come back through the loop. */
  get isWriting(): boolean {
    return this.#isWriting
  }

  /** True while steps wait for the write under way. */
  get hasWaiting(): boolean {
    return this.#waiting.length > 0
  }

  run(effect: Effect): void {
    switch (effect.type) {
      case 'sendMessages':
        this.#send(effect.messages)
        return
      case 'persist':
        for (const step of effect.steps) this.#waiting.push(step)
        return
      case 'commit':
        for (const commit of effect.commits) this.#ports.commit(commit)
        return
      case 'answerRequests':
        for (const answer of effect.answers) this.#ports.answer(answer)
        return
      case 'readEntries':
        for (const request of effect.requests) this.#read(request)
        return
      case 'workOnSnapshots':
        for (const work of effect.works) this.#ports.workOnSnapshot(work)
        return
      case 'notices':
        for (const text of effect.texts) this.#ports.notify(text)
        return
      default:
        unreachable(effect)
    }
  }

  /** Starts the next write, at the end of a turn, so that all the turn's steps are one. */
  flush(): void {
    if (this.#isWriting || this.#hasFailed) return
    if (this.#waiting.length === 0 && this.#clusterId === undefined) return
    const merged = mergeSteps(this.#waiting, this.#writtenIndex, this.#clusterId, this.#truncations)
    this.#waiting = []
    this.#clusterId = undefined
    this.#writtenIndex = merged.lastIndex
    this.#truncations = merged.truncations
    this.#isWriting = true
    if (isEmpty(merged.write)) {
      this.#ports.written(merged)
      return
    }
    this.#ports.store.write(merged.write, (error) => {
      if (error === undefined) this.#ports.written(merged)
      else this.#stop(error)
    })
  }

  /** The cluster's id became known: it goes to disk with the next write, or by itself where there is none. */
  recordClusterId(clusterId: string): void {
    this.#clusterId = clusterId
  }

  /** A write has come back through the loop: what waited for it may be seen now. */
  complete(write: MergedWrite, lastApplied: LogIndex): Persisted {
    this.#isWriting = false
    this.#send(write.messages)
    const { hardState, lastIndex, truncations } = write
    return { type: 'persisted', hardState, index: lastIndex, truncations, lastApplied }
  }

  #send(messages: readonly Envelope[]): void {
    for (const { to, message } of messages) this.#ports.transport.send(to, message)
  }

  #read({ peer, from, bytesMax, term, truncations }: EntriesRequest): void {
    this.#ports.store.read(from, bytesMax, (error, runs) => {
      if (error === undefined) this.#ports.post({ type: 'entriesRead', peer, term, truncations, runs })
      else this.#stop(error)
    })
  }

  #stop(error: Error): void {
    this.#hasFailed = true
    this.#ports.fail(
      error instanceof ActorumError
        ? error
        : new ActorumError('STORAGE_FAILED', `the log store failed: ${error.message}`, { cause: error }),
    )
  }
}

/** Several steps as one, with the same outcome as each in turn. */
export function mergeSteps(
  steps: readonly Persist[],
  writtenIndex: LogIndex,
  clusterId?: string,
  truncationsBefore = 0,
): MergedWrite {
  let hardState: HardState | undefined
  let truncateFrom: LogIndex | undefined
  let boundary: Boundary | undefined
  let runs: EntryRun[] = []
  const messages: Envelope[] = []
  let lastIndex = writtenIndex
  let truncations = truncationsBefore
  for (const step of steps) {
    hardState = step.hardState ?? hardState
    const from = step.truncateFrom
    if (from !== undefined) {
      runs = runs.filter((run) => run.lastIndex < from)
      if (from <= writtenIndex) truncateFrom = Math.min(truncateFrom ?? from, from)
    }
    boundary = step.boundary ?? boundary
    for (const run of step.runs) runs.push(run)
    for (const message of step.messages) messages.push(message)
    lastIndex = step.lastIndex
    truncations = step.truncations
  }
  const write: LogWrite = { runs, hardState, truncateFrom, boundary, clusterId }
  return { write, messages, hardState, lastIndex, truncations }
}

function isEmpty({ runs, hardState, truncateFrom, boundary, clusterId }: LogWrite): boolean {
  const isLogKept = runs.length === 0 && truncateFrom === undefined && boundary === undefined
  return isLogKept && hardState === undefined && clusterId === undefined
}

/** A local event at its instant. A completed write's is written out: a spread of two objects takes V8's slow path. */
export function eventAt(event: LocalEvent, instant: Instant): LocalEvent & Instant {
  return event.type === 'persisted' ? persistedAt(event, instant) : { ...event, ...instant }
}

export function persistedAt(event: Persisted, { now, wallTime }: Instant): Persisted & Instant {
  const { type, hardState, index, truncations, lastApplied } = event
  return { type, hardState, index, truncations, lastApplied, now, wallTime }
}
