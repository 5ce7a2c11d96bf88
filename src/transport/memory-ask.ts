import { ActorumError, type ErrorCode } from '../errors.js'
import type { ServerId } from '../machines/types.js'
import { decodeHandshake, encodeHandshake } from './handshake.js'
import { decodeJoinAnswer, encodeJoinAnswer, joinOf, judgeJoin, requestOf, JOIN_TIMEOUT_MS } from './join.js'
import type { MemoryNetwork } from './memory-network.js'
import type { MemoryRun, MemoryTransport } from './memory-transport.js'
import type { JoinAnswer, JoinCallback, JoinRequest } from './ports.js'

/** One wish to join on its way to a server in memory, and the answer on its way back. */
export class MemoryAsk {
  readonly asker: MemoryTransport
  readonly #asked: MemoryTransport
  readonly #askedRun: MemoryRun
  readonly #network: MemoryNetwork
  readonly #callback: JoinCallback
  readonly #deadline: unknown
  #withdraw: (() => void) | undefined
  #isOver = false

  constructor(
    network: MemoryNetwork,
    asker: MemoryTransport,
    asked: { readonly transport: MemoryTransport; readonly run: MemoryRun },
    callback: JoinCallback,
  ) {
    this.asker = asker
    this.#asked = asked.transport
    this.#askedRun = asked.run
    this.#network = network
    this.#callback = callback
    this.#deadline = network.clock.setTimeout(() => this.fail('TIMEOUT', 'it did not answer in time'), JOIN_TIMEOUT_MS)
  }

  get isOver(): boolean {
    return this.#isOver
  }

  start(request: JoinRequest): void {
    const { versions, id } = this.asker
    const join = joinOf(request, versions)
    if (join === undefined) this.fail('TRANSPORT_FAILED', `protocol version ${versions.max} knows of no joining`)
    else this.#carry(id, this.#asked.id, encodeHandshake(join), (text) => this.#arrived(text))
    this.check()
  }

  /** Fails when the connection is broken and that can be noticed. */
  check(): void {
    const there = this.#network.link(this.asker.id, this.#asked.id).cut
    const back = this.#network.link(this.#asked.id, this.asker.id).cut
    const isGone = there === undefined && back === undefined && !this.#isAskedAlive
    if (there === 'noticed' || back === 'noticed' || isGone) this.fail('TRANSPORT_FAILED', 'it closed the connection')
  }

  fail(code: ErrorCode, reason: string): void {
    const text = `asked server ${this.#asked.id} for membership: ${reason}`
    if (this.#end()) this.#callback(new ActorumError(code, text), undefined)
  }

  get #isAskedAlive(): boolean {
    return this.#network.runs(this.#asked.id, this.#askedRun)
  }

  #arrived(text: string): void {
    if (!this.#isAskedAlive) return
    const said = decodeHandshake(text)
    const { identity, joins } = this.#askedRun
    if ('malformed' in said) return this.#refuse(said.malformed)
    if (said.kind !== 'join') return this.#refuse(`it begins with a ${said.kind}`)
    const version = judgeJoin(said, identity, this.#asked.versions)
    if (typeof version !== 'number') return this.#refuse(version.malformed)
    this.#withdraw = joins.ask(requestOf(said), (answer) => this.#answer(answer, version))
  }

  #refuse(reason: string): void {
    this.#askedRun.notices.limited('refusals', `refused server ${this.asker.id}: ${reason}`)
    this.#answer({ kind: 'refused', reason }, this.#asked.versions.max)
  }

  #answer(answer: JoinAnswer, version: number): void {
    if (!this.#isAskedAlive) return
    this.#carry(this.#asked.id, this.asker.id, encodeJoinAnswer(answer, version), (text) => {
      const understood = decodeJoinAnswer(text, this.asker.versions)
      if ('malformed' in understood) this.fail('TRANSPORT_FAILED', understood.malformed)
      else if (this.#end()) this.#callback(undefined, understood)
    })
  }

  /** Takes `text` over a link with all its faults. What is damaged breaks the connection. */
  #carry(from: ServerId, to: ServerId, text: string, arrive: (text: string) => void): void {
    const { chance, clock } = this.#network
    const link = this.#network.link(from, to)
    const { loss, corruption, reordering, reorderMs } = link.faults
    if (link.cut !== undefined || chance.happens(loss)) return
    if (chance.happens(corruption)) return clock.defer(() => this.fail('TRANSPORT_FAILED', 'it closed the connection'))
    const heldMs = chance.happens(reordering) ? chance.fraction() * reorderMs : 0
    const waitMs = chance.delayMs(link.faults) + heldMs
    const deliver = (): void => {
      if (!this.#isOver && link.cut === undefined) arrive(text)
    }
    if (waitMs === 0) this.#network.arriveSoon(deliver)
    else clock.setTimeout(deliver, waitMs)
  }

  /** False when it was over already. */
  #end(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    this.#network.clock.clearTimeout(this.#deadline)
    this.#withdraw?.()
    return true
  }
}
