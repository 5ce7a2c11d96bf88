import type { ConfigurationAt, RaftContext } from '../../machines/context.js'
import type { Boundary, Configuration, LogIndex, ServerId } from '../../machines/types.js'
import { Violation } from './violation.js'

/** What one server's log says of the membership, the oldest first; the first is what it was started with. */
interface SeenServer {
  configurations: ConfigurationAt[]
}

const NOBODY: Configuration = { voters: [], learners: [] }

/**
 * Judges changes of the membership (thesis §4) from the logs alone: the latest configuration in a server's log rules it;
 * a leader appends the next one only once the one before it, and an entry of its own term, are committed; and a quorum
 * of the one before always has a server in common with one of the next.
 */
export class ConfigurationChecker {
  readonly #servers = new Map<ServerId, SeenServer>()
  readonly #committed: ConfigurationAt[] = []
  #founding: Configuration | undefined

  /** A server starts; its log begins after `boundary`. */
  started(id: ServerId, boundary: Boundary): void {
    const { index, configuration } = boundary
    if (index === 0 && configuration.voters.length > 0) this.#founding ??= configuration
    this.#servers.set(id, { configurations: index === 0 ? [{ index, configuration }] : [...this.#until(index)] })
  }

  /** A server's log begins anew after `index`. */
  begunAnew(id: ServerId, index: LogIndex): void {
    this.#servers.set(id, { configurations: [...this.#until(index)] })
  }

  truncated(id: ServerId, from: LogIndex): void {
    const server = this.#server(id)
    server.configurations = server.configurations.filter(({ index }) => index < from || index === 0)
  }

  appended(id: ServerId, index: LogIndex, configuration: Configuration): void {
    this.#server(id).configurations.push({ index, configuration })
  }

  committed(index: LogIndex, configuration: Configuration): void {
    this.#committed.push({ index, configuration })
  }

  /** The configuration that rules a server, by its log. */
  rulingOn(id: ServerId): Configuration {
    return this.#server(id).configurations.at(-1)?.configuration ?? NOBODY
  }

  /** Every configuration by which some server could decide, or come to: none of them may lose its quorum. */
  inPlay(committedIndex: LogIndex): readonly Configuration[] {
    const found = new Map<string, Configuration>()
    for (const { configurations } of this.#servers.values()) {
      const oldest = configurations.findLastIndex(({ index }) => index <= committedIndex)
      for (const { configuration } of configurations.slice(Math.max(0, oldest)))
        found.set(show(configuration), configuration)
    }
    return [...found.values()].filter(({ voters }) => voters.length > 0)
  }

  /** A server's own books say the same as its log. */
  stepped(id: ServerId, context: RaftContext, before: RaftContext): void {
    const { configurations } = this.#server(id)
    const ruling = configurations.at(-1)
    const own = context.configurations.at(-1)?.configuration ?? NOBODY
    if (show(own) !== show(ruling?.configuration ?? NOBODY)) {
      throw new Violation(
        'the latest configuration in the log rules (§4.1)',
        `server ${id} goes by ${show(own)}, its log says ${show(ruling?.configuration ?? NOBODY)}`,
      )
    }
    const { leadership, hardState, log } = context
    const isLeading = leadership !== undefined && before.leadership !== undefined
    if (!isLeading || before.hardState.term !== hardState.term) return
    for (const [at, { index, configuration }] of configurations.entries()) {
      const previous = configurations[at - 1]
      if (index <= before.log.lastIndex || index > log.lastIndex || previous === undefined) continue
      this.#checkAppended(id, context, { index, configuration }, previous)
    }
  }

  #checkAppended(id: ServerId, context: RaftContext, next: ConfigurationAt, previous: ConfigurationAt): void {
    const { commitIndex, leadership } = context
    if (commitIndex < previous.index) {
      throw new Violation(
        'Configuration Safety: one change of the membership at a time',
        `server ${id} appended ${show(next.configuration)} at ${next.index}, and that at ${previous.index} is not committed`,
      )
    }
    if (leadership === undefined || commitIndex < leadership.noopIndex) {
      throw new Violation(
        'Configuration Safety: no change before an entry of the own term is committed',
        `server ${id} appended ${show(next.configuration)} at ${next.index} in term ${context.hardState.term}`,
      )
    }
    if (haveDisjointQuorums(previous.configuration, next.configuration)) {
      throw new Violation(
        'Configuration Safety: quorums of one configuration and the next have a server in common',
        `server ${id} went from ${show(previous.configuration)} to ${show(next.configuration)}`,
      )
    }
  }

  /** What a server says rules at a boundary is what was committed there, unless it could not know. */
  checkBoundary(id: ServerId, { index, configuration }: Boundary): void {
    const known = this.#until(index).at(-1)
    if (known === undefined || (configuration.voters.length === 0 && known.index === 0)) return
    if (show(known.configuration) === show(configuration)) return
    throw new Violation(
      'a snapshot holds the configuration as of its end (§7)',
      `server ${id} has ${show(configuration)} at ${index}, where ${show(known.configuration)} was committed`,
    )
  }

  #until(index: LogIndex): readonly ConfigurationAt[] {
    const founding = this.#founding === undefined ? [] : [{ index: 0, configuration: this.#founding }]
    return [...founding, ...this.#committed.filter((known) => known.index <= index)]
  }

  #server(id: ServerId): SeenServer {
    const server = this.#servers.get(id)
    if (server === undefined) throw new Violation('every server is announced', `server ${id} is not`)
    return server
  }
}

/** C_old and C_new of a joint configuration, or the one set of voters. */
export function halvesOf({ voters, votersOutgoing }: Configuration): readonly (readonly ServerId[])[] {
  return votersOutgoing === undefined || votersOutgoing.length === 0 ? [voters] : [voters, votersOutgoing]
}

/** Whether those that `has` names are a quorum. */
export function isQuorum(configuration: Configuration, has: (id: ServerId) => boolean): boolean {
  for (const half of halvesOf(configuration)) {
    let count = 0
    for (const id of half) if (has(id)) count++
    if (count * 2 <= half.length) return false
  }
  return true
}

/** Everyone who votes or listens. */
export function membersOf(configuration: Configuration): readonly ServerId[] {
  return [...new Set([...halvesOf(configuration).flat(), ...configuration.learners])]
}

/** By trying every set of voters: nothing is taken for granted of how changes are made. */
function haveDisjointQuorums(one: Configuration, other: Configuration): boolean {
  const ids = [...new Set([...halvesOf(one), ...halvesOf(other)].flat())]
  for (let set = 0; set < 1 << ids.length; set++) {
    const isIn = (id: ServerId): boolean => ((set >> ids.indexOf(id)) & 1) === 1
    if (isQuorum(one, isIn) && isQuorum(other, (id) => !isIn(id))) return true
  }
  return false
}

export function show({ voters, votersOutgoing = [], learners }: Configuration): string {
  const list = (ids: readonly ServerId[]): string => [...ids].sort((a, b) => a - b).join(' ')
  const outgoing = votersOutgoing.length === 0 ? '' : ` and {${list(votersOutgoing)}}`
  return `{${list(voters)}}${outgoing}${learners.length === 0 ? '' : ` with learners ${list(learners)}`}`
}
