import { latestConfiguration, placeOfConfiguration, type RaftContext } from '../machines/context.js'
import type { EntryPlace, Member, ServerId } from '../machines/types.js'
import type { Transport } from '../transport/ports.js'

interface Introduction {
  readonly members: readonly Member[]
  /** The entry with the configuration that they are of; undefined where nobody said. */
  readonly asOf: EntryPlace | undefined
}

/**
 * Whom a server sends to and hears: the members of every configuration in its log, so that one left out can be told, and
 * those that others have named to it. A log that is still being caught up on tells of the past. It may name neither the
 * leader that it comes from nor anybody who is still there, so those who were named stay until it has come as far as
 * they were.
 */
export class KnownPeers {
  readonly #transport: Pick<Transport, 'setPeers'>
  readonly #context: () => RaftContext
  #introduction: Introduction | undefined
  /** What the transport's peers were taken from. */
  #configurations: RaftContext['configurations'] | undefined

  constructor(transport: Pick<Transport, 'setPeers'>, context: () => RaftContext) {
    this.#transport = transport
    this.#context = context
  }

  /** Undefined of a server that is yet to join, and to whom nobody was named. */
  get members(): readonly Member[] | undefined {
    const recorded = peersOf(this.#context())
    if (this.#introduction === undefined) return recorded
    const { members, asOf } = this.#introduction
    // What nobody dated may be older than a log that has come to the present.
    const isOlder = asOf === undefined && this.isNamedInLog
    const inOrder = isOlder ? [...members, ...(recorded ?? [])] : [...(recorded ?? []), ...members]
    const peers = new Map<ServerId, Member>()
    for (const member of inOrder) peers.set(member.id, member)
    peers.delete(this.#context().id)
    return [...peers.values()]
  }

  /** Whether the log has come to name this server on this very data directory: not one under its id before it. */
  get isNamedInLog(): boolean {
    const { id, identity } = this.#context()
    const named = latestConfiguration(this.#context()).configuration.members?.find((member) => member.id === id)
    return named !== undefined && named.storeId === identity.storeId
  }

  /** These are the members, says one who knows; who knows no more than the log here is not listened to. */
  introduce(members: readonly Member[], asOf: EntryPlace | undefined): void {
    if (asOf !== undefined && this.#reaches(asOf)) return
    this.#introduction = { members, asOf }
    this.#tell()
  }

  /** After a turn. True when other configurations are in the log. */
  review(): boolean {
    const { configurations } = this.#context()
    if (configurations === this.#configurations) return false
    this.#configurations = configurations
    if (this.#hasCaughtUp) this.#introduction = undefined
    this.#tell()
    return true
  }

  get #hasCaughtUp(): boolean {
    const asOf = this.#introduction?.asOf
    return asOf === undefined ? this.isNamedInLog : this.#reaches(asOf)
  }

  /**
   * Whether the log has members of that configuration or a later one. Terms decide first, since what was never committed
   * may stand at any index. A cluster's first configuration is at 0.
   */
  #reaches({ index, term }: EntryPlace): boolean {
    const context = this.#context()
    const latest = placeOfConfiguration(context)
    const isAsNew = latest.term > term || (latest.term === term && latest.index >= index)
    return isAsNew && latestConfiguration(context).configuration.members !== undefined
  }

  #tell(): void {
    const { members } = this
    if (members !== undefined) this.#transport.setPeers(members)
  }
}

/** The members of every configuration in the log; undefined where there are none. */
function peersOf(context: RaftContext): readonly Member[] | undefined {
  if (latestConfiguration(context).configuration.members === undefined) return undefined
  const peers = new Map<ServerId, Member>()
  for (const { configuration } of context.configurations) {
    for (const member of configuration.members ?? []) peers.set(member.id, member)
  }
  peers.delete(context.id)
  return [...peers.values()]
}
