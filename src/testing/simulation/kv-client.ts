import { ActorumError } from '../../errors.js'
import type { ServerId } from '../../machines/types.js'
import type { KvCommand, KvResult, SingleKeyCommand } from '../../state-machines/kv/commands.js'
import { KeyValueStore } from '../../state-machines/kv/key-value-store.js'
import { keyChars } from '../../state-machines/kv/keys.js'
import type { Consistency } from '../linearizability/history.js'
import type { HistoryRecorder } from '../linearizability/recorder.js'
import type { KvLedger } from './kv-ledger.js'
import type { SimulatedCluster } from './simulated-cluster.js'
import { Violation } from './violation.js'

export type KvCluster = SimulatedCluster<KvCommand, KvResult>

/** What a client is asked to do; it makes the values of its writes itself, so that no two are the same. */
export type KvCall =
  | { readonly op: 'put'; readonly key: string }
  | { readonly op: 'delete'; readonly key: string }
  | { readonly op: 'cas'; readonly key: string; readonly expected: string | null }
  | { readonly op: 'get'; readonly key: string; readonly consistency: Consistency }

export interface KvCallOptions {
  /** Default: the cluster's. */
  readonly timeoutMs?: number | undefined
  /** Called once the call has an outcome, or the client has given up. */
  readonly ended?: () => void
}

export interface KvClientSpec {
  readonly name: string
  readonly cluster: KvCluster
  readonly recorder: HistoryRecorder
  readonly ledger: KvLedger
  /** Whether reads of this consistency promise to see all that was committed before their call. */
  readonly mustSee: (consistency: Consistency) => boolean
  /** How long it waits for an answer before it gives up, in virtual milliseconds. Then the outcome is unknown. */
  readonly patienceMs: number
}

/** How a call that brought nothing is recorded. */
interface Outcome {
  failed(): void
  unknown(): void
}

const KEY_BYTES_MAX = 1024
const decoder = new TextDecoder()

/**
 * One client of a simulated cluster: it lives in the process of the server that it calls, so that a paused process is
 * slow to call, and a dead one never answers. One call at a time, each recorded.
 */
export class KvClient {
  readonly name: string
  readonly #spec: KvClientSpec
  #calls = 0
  /** The call under way, and who waits for its end. */
  #current: { readonly number: number; readonly timeoutMs: number | undefined; readonly ended: () => void } | undefined
  #lastRead: string | null = null

  constructor(spec: KvClientSpec) {
    this.name = spec.name
    this.#spec = spec
  }

  /** Whether a call is under way. */
  get isBusy(): boolean {
    return this.#current !== undefined
  }

  /** What it last read or wrote: what a compare-and-swap may well expect. */
  get lastSeen(): string | null {
    return this.#lastRead
  }

  /**
   * Makes one call at a server. Returns false, and calls nothing, when that server is down or a call is under way.
   */
  call(id: ServerId, call: KvCall, { timeoutMs, ended = () => undefined }: KvCallOptions = {}): boolean {
    const { running } = this.#spec.cluster.server(id)
    if (running === undefined || this.#current !== undefined) return false
    const number = ++this.#calls
    this.#current = { number, timeoutMs, ended }
    this.#spec.cluster.world.setTimeout(() => this.#end(number), this.#spec.patienceMs)
    if (call.op === 'get') this.#get(id, call.key, call.consistency, number)
    else this.#write(id, call, number)
    return true
  }

  #write(id: ServerId, call: Exclude<KvCall, { readonly op: 'get' }>, number: number): void {
    const { recorder } = this.#spec
    const { key } = call
    const client = this.name
    const value = `${client}.${number}`
    switch (call.op) {
      case 'put': {
        const pending = recorder.call({ op: 'put', client, key, input: value })
        this.#propose(id, { type: 'put', key, value }, number, pending, ({ revision }) => pending.ok(revision))
        return
      }
      case 'delete': {
        const pending = recorder.call({ op: 'delete', client, key, input: null })
        this.#propose(id, { type: 'delete', key }, number, pending, (result) => {
          pending.ok({ deleted: 'deleted' in result && result.deleted, revision: result.revision })
        })
        return
      }
      case 'cas': {
        const { expected } = call
        const pending = recorder.call({ op: 'cas', client, key, input: { expected, value } })
        const command = { type: 'compareAndSwap', key, expected: expected ?? undefined, value } as const
        this.#propose(id, command, number, pending, (result) => pending.ok('swapped' in result && result.swapped))
      }
    }
  }

  #propose(
    id: ServerId,
    command: SingleKeyCommand,
    number: number,
    pending: Outcome,
    ok: (result: KvResult) => void,
  ): void {
    const failed = (): void => {
      if (command.type !== 'delete') this.#spec.ledger.refused(String(command.value))
      pending.failed()
    }
    const options = this.#options
    this.#inProcess(id, number, { ...pending, failed }, ({ calls }, reject) => {
      const resolve = (result: KvResult): void => {
        this.#spec.ledger.acknowledged(command, result)
        if (command.type !== 'delete') this.#lastRead = String(command.value)
        this.#settle(number, () => ok(result))
      }
      calls.propose(command, options, resolve, reject)
    })
  }

  #get(id: ServerId, key: string, consistency: Consistency, number: number): void {
    const pending = this.#spec.recorder.call({ op: 'get', client: this.name, key, input: null, consistency })
    const chars = keyChars(key, KEY_BYTES_MAX)
    const committed = this.#spec.mustSee(consistency) ? this.#spec.cluster.safety.committedIndex : 0
    const session = `${id}#${this.#spec.cluster.server(id).starts}`
    const options = { ...this.#options, consistency }
    this.#inProcess(id, number, pending, ({ calls, stateMachine, server }, reject) => {
      if (!(stateMachine instanceof KeyValueStore)) throw new TypeError('a key-value client needs key-value stores')
      const read = (): { value: Uint8Array | undefined; seen: number } => {
        return { value: stateMachine.getValue(chars), seen: server.lastApplied }
      }
      const resolve = ({ value, seen }: ReturnType<typeof read>): void => {
        if (seen < committed) this.#reportStale(consistency, session, committed, seen)
        this.#lastRead = value === undefined ? null : decoder.decode(value)
        this.#settle(number, () => pending.ok(this.#lastRead, { server: session, seen }))
      }
      calls.read(read, options, resolve, reject)
    })
  }

  /** Stricter than the history: it need not be this key that was written, nor its writer that was told. */
  #reportStale(consistency: Consistency, session: string, committed: number, seen: number): void {
    const details = `a ${consistency} read of ${this.name} at server ${session} saw entries up to ${seen}, of ${committed} committed when it was called`
    this.#spec.cluster.report(new Violation('a linearizable read sees all that was committed before it', details))
  }

  /** Acts in a turn of the server's own process; what it throws or is refused with decides the outcome. */
  #inProcess(
    id: ServerId,
    number: number,
    pending: Outcome,
    act: (incarnation: NonNullable<KvCluster['servers'][number]['running']>, reject: (error: Error) => void) => void,
  ): void {
    const incarnation = this.#spec.cluster.server(id).running
    incarnation?.clock.defer(() => {
      const reject = (error: unknown): void => {
        if (!(error instanceof ActorumError)) throw error
        this.#settle(number, () => (error.code === 'OUTCOME_UNKNOWN' ? pending.unknown() : pending.failed()))
      }
      try {
        act(incarnation, reject)
      } catch (error) {
        reject(error)
      }
    })
  }

  get #options(): { readonly timeoutMs?: number } {
    const timeoutMs = this.#current?.timeoutMs
    return timeoutMs === undefined ? {} : { timeoutMs }
  }

  /** An answer counts while its client still waits for it. */
  #settle(number: number, record: () => void): void {
    if (this.#current?.number !== number) return
    record()
    this.#end(number)
  }

  #end(number: number): void {
    const current = this.#current
    if (current?.number !== number) return
    this.#current = undefined
    current.ended()
  }
}
