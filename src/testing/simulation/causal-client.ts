import { CausalStore } from '../../client/causal-store.js'
import type { StoreAnswers, StoreQuery } from '../../client/store-port.js'
import type { LogIndex } from '../../machines/types.js'
import { prefixRange, type KeyChars } from '../../state-machines/kv/keys.js'
import type { KvEntry, RangeResult } from '../../state-machines/kv/results.js'
import { isSame, legible } from './legible.js'
import { LoopingClient, type LoopingClientSpec } from './looping-client.js'
import type { PlainEntry } from './plain-keyspace.js'
import { Violation } from './violation.js'

const LAW = 'a causal view never goes back'
const KEYS = prefixRange('causal/' as KeyChars)

/**
 * Writes, reads and watches through a causal view, nearly each time at another server, and hands on what it has seen to a
 * new view now and then. What it was told itself says how old the next answer may be: nothing is asked of the view.
 */
export class CausalClient extends LoopingClient {
  #view: CausalStore
  /** No state before this revision explains all that it was told. Monotonic. */
  #floor: LogIndex = 0
  #unwatch: () => void = () => undefined

  constructor(spec: LoopingClientSpec) {
    super(spec)
    this.#view = new CausalStore(spec.store, 0)
  }

  protected act(): void {
    const { cluster, dice, store } = this.spec
    if (dice.chance(0.1)) this.#handOn()
    if (dice.chance(0.7)) store.move(dice.pick(cluster.servers).id)
    if (store.connection === undefined) return this.think()
    const key = `causal/${dice.below(3)}`
    if (dice.chance(0.35)) return this.#write(key)
    if (dice.chance(0.1)) this.#watch()
    if (dice.chance(0.5)) this.#readKey(key as KeyChars)
    else this.#readRange()
  }

  #handOn(): void {
    this.#unwatch()
    this.#view = new CausalStore(this.spec.store, this.#view.seenRevision)
  }

  #write(key: string): void {
    const { dice } = this.spec
    const token = this.token()
    const note = { type: 'put', key: `note/${this.name}`, value: token } as const
    const command = dice.pick([
      { type: 'put', key, value: token },
      { type: 'txn', compares: [], then: [{ type: 'delete', key }, note], else: [] },
      { type: 'compareAndSwap', key, expected: undefined, value: token },
    ] as const)
    const done = (result: { readonly revision: LogIndex } | undefined): void => {
      if (result !== undefined) this.#saw(result.revision)
      this.think()
    }
    this.propose(command, token, done, { through: this.#view })
  }

  /** Until the next watch, or as long as that server runs. */
  #watch(): void {
    this.#unwatch()
    const nothing = (): void => undefined
    const changed = ({ revision }: { readonly revision: LogIndex }): void => this.#saw(revision)
    this.#unwatch = this.#view.watch(KEYS, { changed, lost: nothing, ended: nothing })
  }

  /** The answer says of no revision: the oldest state that it can be of is what it has shown. */
  #readKey(key: KeyChars): void {
    const floor = this.#floor
    this.#read({ type: 'entry', key }, (entry: KvEntry | undefined) => {
      const told = legible(entry)
      const at = this.#statesSince(key, floor).find(({ entry: was }) => isSame(told, was))
      if (at === undefined) this.#wentBack(`${key} as ${JSON.stringify(told)}`, floor)
      else this.#saw(at.revision)
    })
  }

  #statesSince(key: string, floor: LogIndex): readonly { readonly revision: LogIndex; readonly entry?: PlainEntry }[] {
    const { keyspace, lastIndex } = this.spec.ledger
    const changes = keyspace.changesBetween({ from: key, to: `${key}\0` }, floor + 1, lastIndex)
    const later = changes.map(({ revision }) => revision)
    return [floor, ...later].map((revision) => ({ revision, entry: keyspace.at(key, revision) }))
  }

  #readRange(): void {
    const floor = this.#floor
    this.#read({ type: 'range', query: KEYS }, (result: RangeResult) => {
      const was = this.spec.ledger.keyspace.rangeAt(KEYS, result.revision)
      if (result.revision < floor || !isSame(legible(result.entries), was)) {
        this.#wentBack(`revision ${result.revision} as ${JSON.stringify(legible(result.entries))}`, floor)
      } else this.#saw(result.revision)
    })
  }

  #read<Query extends StoreQuery>(query: Query, hear: (answer: StoreAnswers[Query['type']]) => void): void {
    const { dice } = this.spec
    const consistency = dice.pick(['eventual', 'eventual', 'lease'] as const)
    const options = { consistency, maxStalenessMs: dice.pick([undefined, undefined, 50]) }
    const resolve = (answer: StoreAnswers[Query['type']]): void => {
      this.attempt(() => hear(answer))
      this.think()
    }
    const reject = (): void => this.think()
    this.call({ resolve, reject }, (caller) => this.#view.read(query, options, caller))
  }

  #saw(revision: LogIndex): void {
    this.#floor = Math.max(this.#floor, revision)
  }

  #wentBack(told: string, floor: LogIndex): never {
    throw new Violation(LAW, `${this.name} was told ${told}, after it had seen revision ${floor}`)
  }

  protected override leave(): void {
    this.#unwatch()
  }
}
