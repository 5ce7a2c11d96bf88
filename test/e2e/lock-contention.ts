import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Dice, seededRandom, Violation } from '../../src/testing/index.js'
import { freeAddress } from '../integration/engine-place.js'
import { undoAtExit } from './clean-up.js'
import type { ContenderMessage } from './contender-messages.js'
import { ContenderProcess } from './contender-process.js'
import { LockLedger, type Holding } from './lock-ledger.js'
import { between, ProxiedNetwork } from './proxied-network.js'
import { TIMES } from './real-cluster.js'

export const CONTENTION_FAULTS = ['pause', 'kill', 'silence', 'reset', 'none'] as const
export type ContentionFault = (typeof CONTENTION_FAULTS)[number]

const IDS = [1, 2, 3]
const TTL_MS = 1000
const PATIENCE_MS = 60_000
const POLL_MS = 5

export interface ContentionSpec {
  readonly seed: number
  /** Hears what happens, for people. */
  readonly tell: (text: string) => void
}

/**
 * Three servers in processes of their own, behind proxies, each with one who contends for the same lock; and who holds it
 * is stopped, killed and cut off.
 */
export class LockContention {
  readonly ledger = new LockLedger()
  readonly counts = new Map<ContentionFault, number>()
  readonly #dice: Dice
  readonly #tell: (text: string) => void
  readonly #root: string
  readonly #network: ProxiedNetwork
  readonly #release: () => void
  readonly #startNs = process.hrtime.bigint()
  readonly #contenders = new Map<number, ContenderProcess>()
  readonly #starts = new Map<number, number>()
  readonly #started = new Set<string>()
  #violation: Error | undefined
  /** All writes before this revision were told by somebody who is dead since, or by all. */
  #seenUpTo = 0

  private constructor({ seed, tell }: ContentionSpec, root: string, network: ProxiedNetwork) {
    this.#dice = new Dice(seededRandom(seed))
    this.#tell = tell
    this.#root = root
    this.#network = network
    this.#release = undoAtExit(() => rmSync(root, { recursive: true, force: true }))
  }

  static async start(spec: ContentionSpec): Promise<LockContention> {
    const network = await ProxiedNetwork.make(IDS)
    const root = await mkdtemp(join(tmpdir(), 'actorum-contention-'))
    const contention = new LockContention(spec, root, network)
    await Promise.all(IDS.map((id) => contention.#startContender(id)))
    return contention
  }

  /** One fault, mostly to who holds the lock; ends when it is healed and the lock was acquired since. Throws a Violation. */
  async round(kind: ContentionFault = this.#dice.pick(CONTENTION_FAULTS)): Promise<void> {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    const holder = await this.#until(() => this.ledger.current, 'somebody holds the lock')
    const id = this.#dice.chance(0.8) ? idOf(holder.contender) : this.#dice.pick(IDS)
    const from = this.ledger.holdings
    await this.#deal(kind, id, holder)
    await this.#until(() => (this.ledger.holdings > from ? true : undefined), 'the lock is acquired again')
    this.ledger.judge()
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#contenders.values()].map((contender) => contender.kill()))
    await this.#network.close()
    await rm(this.#root, { recursive: true, force: true })
    this.#release()
  }

  async #deal(kind: ContentionFault, id: number, holder: Holding): Promise<void> {
    if (kind === 'none') return
    this.#tell(`${kind}: contender ${id}, while ${holder.contender} holds ${holder.token}`)
    if (kind === 'pause') return this.#pause(id)
    if (kind === 'kill') return this.#kill(id)
    const others = IDS.filter((other) => other !== id)
    const heal = this.#network.impose(between([id], others), { passage: kind === 'silence' ? 'held' : 'reset' })
    await this.#lasts(id)
    heal()
  }

  async #pause(id: number): Promise<void> {
    const contender = this.#contenders.get(id)
    contender?.pause()
    await this.#lasts(id)
    contender?.resume()
  }

  /** Mostly until another holds the lock, and so for longer than its time to live; else for a part of that. */
  async #lasts(id: number): Promise<void> {
    if (this.#dice.chance(0.3)) {
      await delay(this.#dice.between(50, TTL_MS))
      return
    }
    const isAnothers = (): true | undefined => {
      const { current } = this.ledger
      return current !== undefined && idOf(current.contender) !== id ? true : undefined
    }
    await this.#until(isAnothers, 'another holds the lock')
    await delay(this.#dice.between(0, 200))
  }

  async #kill(id: number): Promise<void> {
    const contender = this.#contenders.get(id)
    await contender?.kill()
    if (contender !== undefined) this.ledger.died(contender.name)
    await delay(this.#dice.between(0, TTL_MS))
    await this.#startContender(id)
  }

  async #startContender(id: number): Promise<void> {
    for (;;) {
      const listen = await freeAddress()
      this.#network.leadTo(id, Number(listen.split(':')[1]))
      const start = (this.#starts.get(id) ?? 0) + 1
      this.#starts.set(id, start)
      const name = `${id}#${start}`
      const members = IDS.map((member) => ({ id: member, address: this.#network.address(member) }))
      const options = { ...TIMES, id, listen, members, dataDir: join(this.#root, `server-${id}`) }
      const spec = { name, options, startNs: String(this.#startNs), ttlMs: TTL_MS, seenFrom: this.#seenUpTo + 1 }
      let isPortTaken = false
      const contender = new ContenderProcess(
        spec,
        (message) => {
          if (message.kind === 'failed' && message.code === 'TRANSPORT_FAILED') isPortTaken = true
          else this.#hear(name, message)
        },
        (reason) => this.#fail(new Violation('a contender runs until it is killed', reason)),
      )
      this.#contenders.set(id, contender)
      await this.#until(() => isPortTaken || this.#started.has(name) || undefined, `contender ${name} starts`)
      if (!isPortTaken) return
      await contender.kill()
    }
  }

  #hear(name: string, message: ContenderMessage): void {
    if (message.kind === 'failed') {
      this.#fail(new Violation('a contender runs until it is killed', `${name}: ${message.message}`))
      return
    }
    if (message.kind === 'started') this.#started.add(name)
    if (message.kind === 'seen') this.#seenUpTo = Math.max(this.#seenUpTo, message.revision)
    try {
      this.ledger.take(name, message)
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #fail(violation: Error): void {
    this.#violation ??= violation
  }

  /** Waits for what must come true. */
  async #until<Found>(find: () => Found | undefined, law: string): Promise<Found> {
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      if (this.#violation !== undefined) throw this.#violation
      const found = find()
      if (found !== undefined) return found
      if (performance.now() > deadline) throw new Violation(law, `waited ${PATIENCE_MS} ms in vain`)
      await delay(POLL_MS)
    }
  }
}

function idOf(contender: string): number {
  return Number(contender.split('#')[0])
}
