import { ActorumError, type ErrorCode } from '../../errors.js'
import type { Caller, CommandResult, StorePort } from '../../client/store-port.js'
import type { LogIndex } from '../../machines/types.js'
import type { Consistency } from '../linearizability/history.js'
import type { KvCommand } from '../../state-machines/kv/commands.js'
import type { RangeQuery } from '../../state-machines/kv/range.js'
import type { RangeResult } from '../../state-machines/kv/results.js'
import type { Dice } from './dice.js'
import type { KvCluster } from './kv-client.js'
import type { KvLedger } from './kv-ledger.js'
import { isSame, legible } from './legible.js'
import { rangeOf } from './plain-model.js'
import type { RevisionOrder } from './revision-order.js'
import type { RoamingStore } from './roaming-store.js'
import { Violation } from './violation.js'

export interface LoopingClientSpec {
  readonly name: string
  readonly cluster: KvCluster
  readonly ledger: KvLedger
  readonly order: RevisionOrder
  readonly store: RoamingStore
  readonly dice: Dice
  /** How long it waits between its calls, in virtual milliseconds. */
  readonly thinkMs: readonly [min: number, max: number]
  /** Whether reads of this consistency promise to see all that was answered before their call. */
  readonly mustSee: (consistency: Consistency) => boolean
}

/** Who hears what became of a call. */
interface Answered<Result> {
  readonly resolve: (result: Result) => void
  readonly reject: (error: ActorumError) => void
}

/** What says that a command is certainly not applied. */
const NOT_APPLIED: readonly ErrorCode[] = [
  'NO_LEADER',
  'NOT_LEADER',
  'REFUSED',
  'TIMEOUT',
  'BUSY',
  'STOPPED',
  'STORAGE_FAILED',
  'CORRUPT',
]
/** What else a call may come to. */
const EXPECTED: readonly ErrorCode[] = ['OUTCOME_UNKNOWN', 'LEASE_NOT_FOUND', 'SESSION_EXPIRED', 'COMPACTED']

/**
 * A client that acts again and again, now and then at another server, one call at a time, until it is stopped. What it
 * is told is judged at once, or by the ledger at the end.
 */
export abstract class LoopingClient {
  protected readonly spec: LoopingClientSpec
  #isStopped = false
  #isBusy = false
  #tokens = 0

  constructor(spec: LoopingClientSpec) {
    this.spec = spec
  }

  get name(): string {
    return this.spec.name
  }

  /** Whether a call is under way. */
  get isBusy(): boolean {
    return this.#isBusy
  }

  start(): void {
    this.think()
  }

  /** No call is begun any more. */
  stop(): void {
    this.#isStopped = true
    this.leave()
  }

  /** Lets go of what is kept alive. Called when it is stopped, and after the last call. */
  protected leave(): void {
    // Most keep nothing.
  }

  /** Makes a call or two, and ends with `think`. */
  protected abstract act(): void

  protected think(): void {
    const { cluster, dice, thinkMs, store } = this.spec
    this.#isBusy = false
    if (this.#isStopped) return this.leave()
    cluster.world.setTimeout(
      () => {
        if (this.#isStopped) return
        if (store.connection === undefined || dice.chance(0.1)) store.move(dice.pick(cluster.servers).id)
        if (store.connection === undefined) return this.think()
        this.#isBusy = true
        this.act()
      },
      dice.between(...thinkMs),
    )
  }

  /** What no other command writes. */
  protected token(): string {
    return `${this.spec.name}.${++this.#tokens}`
  }

  /**
   * @param token - by which the ledger knows it, if it has one
   * @param done - with what it came to, undefined where it failed or nobody knows
   */
  protected propose(
    command: KvCommand,
    token: string | undefined,
    done: (result: CommandResult | undefined, error?: ActorumError) => void,
    { through = this.spec.store, timeoutMs }: { readonly through?: StorePort; readonly timeoutMs?: number } = {},
  ): void {
    const { ledger, order, name } = this.spec
    const options = timeoutMs === undefined ? undefined : { timeoutMs }
    const floor = order.begin()
    const resolve = (result: CommandResult): void => {
      ledger.acknowledged(command, result)
      this.attempt(() => order.wrote(`${name} (${command.type})`, floor, result.revision))
      done(result)
    }
    const reject = (error: ActorumError): void => {
      if (token !== undefined && NOT_APPLIED.includes(error.code)) ledger.refused(token)
      done(undefined, error)
    }
    this.call({ resolve, reject }, (caller) => through.propose(command, options, caller))
  }

  /** Reads a range and holds it against the ledger. */
  protected range(
    query: RangeQuery,
    consistency: Consistency,
    done: (result: RangeResult | undefined, error?: ActorumError) => void,
    revision?: LogIndex,
  ): void {
    const { order, ledger, name, mustSee, store } = this.spec
    const floor = order.begin()
    const resolve = (result: RangeResult): void => {
      this.attempt(() => {
        this.#checkRange(query, result)
        const isAsked = revision !== undefined
        if (!isAsked) order.read(`${name} (${consistency})`, floor, result.revision, mustSee(consistency))
      })
      done(result)
    }
    const reject = (error: ActorumError): void => {
      if (error.code === 'COMPACTED') this.attempt(() => ledger.checkForgotten(name, (revision ?? 0) + 1))
      done(undefined, error)
    }
    this.call({ resolve, reject }, (caller) => store.read({ type: 'range', query, revision }, { consistency }, caller))
  }

  #checkRange(query: RangeQuery, result: RangeResult): void {
    const { revision, ...found } = result
    const wanted = rangeOf(this.spec.ledger.keyspace.rangeAt(query, revision), query)
    if (isSame(legible(found), wanted)) return
    const [told, was] = [JSON.stringify(legible(found)), JSON.stringify(wanted)]
    const details = `${this.spec.name} was told at revision ${revision}: ${told}, which was: ${was}`
    throw new Violation('a range is read as of one revision', details)
  }

  /** Errors are of the kinds that calls may have; what is thrown is one of them, too. */
  protected call<Result>({ resolve, reject }: Answered<Result>, act: (caller: Caller<Result>) => void): void {
    const refuse = (error: unknown): void => {
      const isExpected = error instanceof ActorumError && [...NOT_APPLIED, ...EXPECTED].includes(error.code)
      if (isExpected) return reject(error)
      this.judge(new Violation('a call fails only for a reason', `${this.spec.name}: ${String(error)}`))
    }
    try {
      act({ resolve, reject: refuse })
    } catch (error) {
      refuse(error)
    }
  }

  /** Judges in the middle of a server's turn: a Violation is passed on, and ends the run. */
  protected attempt(act: () => void): void {
    try {
      act()
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      this.judge(error)
    }
  }

  protected judge(violation: Violation): void {
    this.spec.cluster.report(violation)
  }
}
