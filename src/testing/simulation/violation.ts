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
