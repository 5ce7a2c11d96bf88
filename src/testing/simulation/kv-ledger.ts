import { ActorumError } from '../../errors.js'
import type { LogIndex } from '../../machines/types.js'
import { kvCommands } from '../../state-machines/kv/command-codec.js'
import { decodeCommand, type CommittedCommand } from '../../state-machines/kv/command-decoding.js'
import type { KvCommand } from '../../state-machines/kv/commands.js'
import type { KeyValueStore } from '../../state-machines/kv/key-value-store.js'
import { HISTORY_LIMITS } from '../../state-machines/kv/history.js'
import { keyChars } from '../../state-machines/kv/keys.js'
import type { KvResult } from '../../state-machines/kv/results.js'
import type { CommittedBatch } from '../../state-machines/ports.js'
import type { AppliedWrite } from '../linearizability/eventual.js'
import { isSame, legible } from './legible.js'
import type { PlainKeyspace } from './plain-keyspace.js'
import { PlainModel, textOf, type Ending, type PlainResult } from './plain-model.js'
import { Violation } from './violation.js'

/** A committed command, and what it came to. */
interface Settled {
  readonly command: CommittedCommand
  readonly result: PlainResult
  /** When the first server applied it, in virtual milliseconds. */
  readonly atMs: number
}

export interface LedgerOptions {
  /** Virtual milliseconds. Default: time stands still. */
  readonly now?: () => number
  /** How many changes the stores keep. Default: as many as stores do. */
  readonly historyEntriesMax?: number
}

/**
 * The final order of all commands, from the committed batches alone: a second, plain model of the key-value store
 * beside the real ones, against which their answers and their states are held.
 */
export class KvLedger {
  readonly #settled = new Map<LogIndex, Settled>()
  readonly #model = new PlainModel({
    executed: (command, isInSession) => this.#noteToken(command, isInSession),
    ended: (id, ending) => this.#endListeners.get(id)?.(ending),
  })
  readonly #endListeners = new Map<number, (ending: Ending) => void>()
  readonly #applied: AppliedWrite[] = []
  readonly #acknowledged: { readonly command: KvCommand; readonly result: KvResult }[] = []
  readonly #refused = new Set<string>()
  /** By what they write, which no two commands of clients share. */
  readonly #tokens = new Map<string, LogIndex>()
  readonly #now: () => number
  readonly #historyEntriesMax: number
  #twice: Violation | undefined
  #lastIndex: LogIndex = 0

  constructor({ now = () => 0, historyEntriesMax = HISTORY_LIMITS.historyEntriesMax }: LedgerOptions = {}) {
    this.#now = now
    this.#historyEntriesMax = historyEntriesMax
  }

  /** Every write that changed something, in order. */
  get applied(): readonly AppliedWrite[] {
    return this.#applied
  }

  /** The last command that any server has applied. */
  get lastIndex(): LogIndex {
    return this.#lastIndex
  }

  get keyspace(): PlainKeyspace {
    return this.#model.keyspace
  }

  /** The cluster time at which something ends next. */
  get nextExpiry(): number | undefined {
    return this.#model.nextExpiry
  }

  /** How the lease or session of that name ended, and when; undefined: it has not. */
  endingOf(id: number): (Ending & { readonly atMs: number }) | undefined {
    const ending = this.#model.endingOf(id)
    return ending && { ...ending, atMs: this.#settled.get(ending.revision)?.atMs ?? 0 }
  }

  /** Hears when the lease or session of that name ends. */
  whenEnded(id: number, listener: (ending: Ending) => void): void {
    this.#endListeners.set(id, listener)
  }

  /** Where the command is that writes this token; undefined: nowhere yet. */
  indexOf(token: string): LogIndex | undefined {
    return this.#tokens.get(token)
  }

  /** Somebody was told that changes from a revision on are no longer kept. Throws a Violation where they must be. */
  checkForgotten(who: string, from: LogIndex): void {
    const writes = this.keyspace.writesSince(from)
    if (this.#model.compactedRevision >= from || writes > this.#historyEntriesMax) return
    const details = `${who} was told that changes from revision ${from} on, ${writes} of them, are no longer kept`
    throw new Violation('the past is forgotten only when it must be', details)
  }

  /** A batch as a server applies it; that all servers apply the same ones is another judge's business. */
  note({ bytes, bounds, count, firstIndex, clusterTime }: CommittedBatch): void {
    for (let at = 0; at < count; at++) {
      const index = firstIndex + at
      if (index <= this.#lastIndex) continue
      this.#lastIndex = index
      const command = decoded(new Uint8Array(bytes.subarray(bounds[2 * at] ?? 0, bounds[2 * at + 1] ?? 0)))
      const result = this.#model.apply(command, index, clusterTime)
      for (const { key, after } of this.keyspace.seal(index)) {
        this.#applied.push({ revision: index, key, value: after?.value ?? null })
      }
      this.#settled.set(index, { command, result, atMs: this.#now() })
    }
  }

  #noteToken(command: CommittedCommand, isInSession: boolean): void {
    const token = tokenOf(command)
    if (token === undefined) return
    const before = this.#tokens.get(token)
    const index = this.#lastIndex
    this.#tokens.set(token, index)
    if (before === undefined) return
    const law = isInSession ? 'a command of a session is applied once' : 'a command is committed once'
    this.#twice ??= new Violation(law, `${command.type} of ${token} is at ${before} and at ${index}`)
  }

  /** A client was told this. */
  acknowledged(command: KvCommand, result: KvResult): void {
    this.#acknowledged.push({ command, result })
  }

  /** A client was told that this write certainly is not applied. Its token is no other write's. */
  refused(token: string): void {
    this.#refused.add(token)
  }

  /** No write that its client was told is not applied is in the final order. */
  checkRefused(): void {
    for (const token of this.#refused) {
      const index = this.#tokens.get(token)
      if (index === undefined) continue
      const { command } = this.#settled.get(index) ?? {}
      throw new Violation(
        'what is reported as not applied never is',
        `${command?.type} of ${token} was, and is in the log`,
      )
    }
  }

  /** Every acknowledged command is in the final order, once, where and as its client was told. */
  checkAcknowledged(): void {
    if (this.#twice !== undefined) throw this.#twice
    for (const { command, result } of this.#acknowledged) {
      const settled = this.#settled.get(result.revision)
      const told = `${command.type} (${tokenOf(command) ?? 'no token'}) was acknowledged at revision ${result.revision}`
      if (settled === undefined || !isCommand(settled.command, command)) {
        throw new Violation(
          'no acknowledged write is lost',
          `${told}, where there is ${settled === undefined ? 'none' : 'another'}`,
        )
      }
      const answer = legible(result)
      if (!isSame(answer, settled.result)) {
        const details = `${told}: its client was told ${JSON.stringify(answer)}, not ${JSON.stringify(settled.result)}`
        throw new Violation('a command does what its client was told', details)
      }
    }
  }

  /** A store that has applied everything holds what the model holds. */
  checkStore(name: string, store: KeyValueStore): void {
    const entries = this.keyspace.entries()
    if (store.size !== entries.length) {
      throw new Violation(
        'a store holds what was written to it',
        `${name} has ${store.size} keys, not ${entries.length}`,
      )
    }
    for (const entry of entries) {
      const found = store.get(keyChars(entry.key, 1024))
      const { key, ...rest } = entry
      if (isSame(legible(found), rest)) continue
      const [has, wanted] = [JSON.stringify(legible(found)), JSON.stringify(rest)]
      throw new Violation('a store holds what was written to it', `${name} has ${has} for ${key}, not ${wanted}`)
    }
    if (store.nextExpiry() !== this.nextExpiry) {
      const details = `${name} expects the next end at ${store.nextExpiry()}, not at ${this.nextExpiry}`
      throw new Violation('a store holds what was written to it', details)
    }
  }
}

function decoded(bytes: Uint8Array): CommittedCommand {
  try {
    return decodeCommand(bytes, 0, bytes.length)
  } catch (error) {
    if (!(error instanceof ActorumError)) throw error
    throw new Violation('only commands that were proposed are committed', error.message)
  }
}

/** What only this command writes: its value, and of a transaction that of its last put. */
function tokenOf(command: KvCommand): string | undefined {
  if (command.type === 'inSession') return tokenOf(command.command)
  const last = command.type === 'txn' ? command.then.at(-1) : command
  if (last?.type !== 'put' && last?.type !== 'compareAndSwap') return undefined
  return typeof last.value === 'string' ? last.value : textOf(last.value)
}

/** Whether a committed command is that one, perhaps as its session sent it. */
function isCommand(committed: CommittedCommand, command: KvCommand): boolean {
  const sent = command.type !== 'inSession' && committed.type === 'inSession' ? committed.command : committed
  const [one, other] = [encoded(sent), encoded(command)]
  return one.length === other.length && one.every((byte, at) => byte === other[at])
}

function encoded(command: KvCommand): Uint8Array {
  const bytes = new Uint8Array(kvCommands.sizeOf(command))
  kvCommands.write(command, bytes, 0)
  return bytes
}
