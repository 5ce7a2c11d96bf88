import { beginSession, type SessionStore } from '../../client/sessions.js'
import { ActorumError } from '../../errors.js'
import type { LogIndex } from '../../machines/types.js'
import type { InSessionCommand } from '../../state-machines/kv/commands.js'
import { LoopingClient } from './looping-client.js'
import { Violation } from './violation.js'

/**
 * Writes within sessions, several commands at a time: each is sent again until it is answered, whoever leads by then,
 * and is applied once.
 */
export class SessionClient extends LoopingClient {
  #session: SessionStore | undefined
  /** Given up in this session, with nothing heard of it since. */
  #unheard: string[] = []
  readonly #givenUp: { readonly token: string; readonly by: LogIndex }[] = []

  protected act(): void {
    const session = this.#session
    if (session === undefined) return this.#open()
    const { dice } = this.spec
    if (dice.chance(0.03)) return this.#close(session)
    const unheard = this.#unheard
    this.#unheard = []
    let left = dice.between(1, 3)
    const ended = (): void => {
      if (--left === 0) this.think()
    }
    for (let count = left; count > 0; count--) this.#write(session, unheard, ended)
  }

  #open(): void {
    const { dice, store, ledger } = this.spec
    const timeoutMs = dice.pick([200, 500, 2000])
    const resolve = (session: SessionStore): void => {
      ledger.acknowledged({ type: 'openSession', timeoutMs }, { session: session.id, revision: session.id })
      this.#session = session
      this.#unheard = []
      this.think()
    }
    const reject = (): void => this.think()
    this.call({ resolve, reject }, (caller) => beginSession(store, timeoutMs, undefined, () => undefined, caller))
  }

  /** @param unheard - what was given up before this is sent, and so must be applied before it or never */
  #write(session: SessionStore, unheard: readonly string[], ended: () => void): void {
    const token = this.token()
    const done = (result: { readonly revision: LogIndex } | undefined, error?: ActorumError): void => {
      if (result !== undefined) this.#givenUp.push(...unheard.map((each) => ({ token: each, by: result.revision })))
      if (error?.code === 'OUTCOME_UNKNOWN') this.#unheard.push(token)
      if (error?.code === 'SESSION_EXPIRED') this.#expired(session)
      ended()
    }
    const { dice } = this.spec
    // What is given up soon may still be on its way.
    const hurry = dice.chance(0.2) ? { timeoutMs: dice.pick([15, 60]) } : {}
    this.propose(this.#drawCommand(token), token, done, { through: session, ...hurry })
  }

  #expired(session: SessionStore): void {
    if (this.#session === session) this.#session = undefined
    if (this.spec.ledger.endingOf(session.id) !== undefined) return
    const details = `${this.spec.name} was told so of session ${session.id}, which has not ended`
    this.judge(new Violation('a session is gone only once it has ended', details))
  }

  #drawCommand(token: string): InSessionCommand['command'] {
    const { dice, name } = this.spec
    const key = `session/${dice.chance(0.5) ? name : 'common'}`
    const wantPrevious = dice.chance(0.5)
    const put = { type: 'put', key, value: token, wantPrevious } as const
    switch (dice.below(4)) {
      case 0:
        return { type: 'compareAndSwap', key, expected: undefined, value: token }
      case 1: {
        const compare = { key, target: 'version', relation: '>', operand: 3 } as const
        const note = { type: 'put', key: `note/${name}`, value: token } as const
        return { type: 'txn', compares: [compare], then: [{ type: 'delete', key, wantPrevious }, note], else: [put] }
      }
      default:
        return put
    }
  }

  #close(session: SessionStore): void {
    this.#session = undefined
    const settled = (): void => this.think()
    this.call({ resolve: settled, reject: settled }, (caller) => session.close(undefined, caller))
  }

  protected override leave(): void {
    this.#session?.stop(new ActorumError('STOPPED', 'the client was stopped'))
  }

  /** What was given up is applied before the next command that is answered, or never. Throws a Violation. */
  checkGivenUp(): void {
    for (const { token, by } of this.#givenUp) {
      const index = this.spec.ledger.indexOf(token)
      if (index === undefined || index < by) continue
      const details = `${token} was given up, then a command was answered at revision ${by}, and it was applied at ${index}`
      throw new Violation('what a session gave up is not applied later', details)
    }
  }
}
