import type { ActorumError } from '../../errors.js'
import type { ServerId } from '../../machines/types.js'

/** A law of Raft or a promise to clients did not hold in a simulated run. */
export class Violation extends Error {
  override readonly name = 'Violation'
  /** The law, in a few words that name it. */
  readonly law: string

  constructor(law: string, details: string) {
    super(`${law}: ${details}`)
    this.law = law
  }
}

/** A server stopped, or refused to start, by itself, and no fault explains it. */
export class UnexplainedStop extends Violation {
  constructor(id: ServerId, { code, message }: ActorumError) {
    super('a server stops only for a reason', `server ${id}: ${code}: ${message}`)
  }
}
