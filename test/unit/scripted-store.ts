import { NEVER } from 'rxjs'
import type { Caller, CommandResult, Reader, StoreAnswers, StorePort, StoreQuery } from '../../src/client/store-port.js'
import { ActorumError, type ErrorCode } from '../../src/errors.js'
import { invariant } from '../../src/machines/invariant.js'
import type { CallOptions, ReadOptions } from '../../src/options.js'
import type { InSessionCommand, KvCommand } from '../../src/state-machines/kv/commands.js'
import { CLIENT_OPTIONS } from './memory-clients.js'
import { VirtualTime } from './virtual-time.js'

/** A command on its way, which the test answers. */
export interface Sent {
  readonly command: KvCommand
  readonly options: CallOptions | undefined
  readonly at: number
  answer(result: CommandResult): void
  fail(code: ErrorCode): void
}

/** A store without a cluster: what becomes of a command is for the test to say. */
export class ScriptedStore implements StorePort {
  readonly limits = CLIENT_OPTIONS
  readonly clock = new VirtualTime()
  readonly appliedRevision = 0
  readonly seenRevision = 0
  /** Every command so far. */
  readonly sent: Sent[] = []
  /** What proposing throws. */
  throwing: ErrorCode | undefined
  /** What a read of a lease finds. */
  lease: StoreAnswers['lease']

  assertOpen(): void {
    // Nobody closes it.
  }

  propose(command: KvCommand, options: CallOptions | undefined, caller: Caller<CommandResult>): void {
    if (this.throwing !== undefined) throw new ActorumError(this.throwing, 'as the test has it')
    this.sent.push({
      command,
      options,
      at: this.clock.now(),
      answer: (result) => caller.resolve(result),
      fail: (code) => caller.reject(new ActorumError(code, 'as the test has it')),
    })
  }

  read<Query extends StoreQuery>(
    query: Query,
    _options: ReadOptions | undefined,
    reader: Reader<StoreAnswers[Query['type']]>,
  ): void {
    invariant(query.type === 'lease', 'only leases are read here', query.type)
    reader.resolve(this.lease as StoreAnswers[Query['type']], this.appliedRevision)
  }

  getValue(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  watch(): () => void {
    return () => undefined
  }

  refresh(_options: CallOptions | undefined, caller: Caller<void>): void {
    caller.resolve()
  }

  members(): readonly never[] {
    return []
  }

  leaderId(): undefined {
    return undefined
  }

  membership$(): typeof NEVER {
    return NEVER
  }

  get last(): Sent {
    const last = this.sent.at(-1)
    invariant(last !== undefined, 'a command was sent')
    return last
  }

  /** Of the last command, which was sent in a session. */
  get lastInSession(): InSessionCommand {
    const { command } = this.last
    invariant(command.type === 'inSession', 'the last command was sent in a session', command.type)
    return command
  }

  get types(): readonly string[] {
    return this.sent.map(({ command }) => command.type)
  }
}
