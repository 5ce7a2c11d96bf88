import type { KvOperation, TxnCommand } from '../../state-machines/kv/commands.js'
import { prefixRange, type KeyChars, type KeyRange } from '../../state-machines/kv/keys.js'
import type { KvEntry } from '../../state-machines/kv/results.js'
import { LoopingClient, type LoopingClientSpec } from './looping-client.js'
import { textOf } from './plain-model.js'
import { Violation } from './violation.js'

const BALANCE = 100
const ACCOUNTS: KeyRange = prefixRange('bank/' as KeyChars)

/**
 * Moves money between accounts by transactions, and adds up all of it, in every way that there is to read: the total
 * never changes, at no revision.
 */
export class BankClient extends LoopingClient {
  readonly #accounts: readonly string[]

  constructor(spec: LoopingClientSpec, accounts: number) {
    super(spec)
    this.#accounts = Array.from({ length: accounts }, (_, at) => `bank/${at}`)
  }

  protected act(): void {
    const { dice } = this.spec
    const consistency = dice.pick(['linearizable', 'linearizable', 'lease', 'eventual'] as const)
    if (dice.chance(0.2)) return this.#addUpInTxn()
    this.range(ACCOUNTS, consistency, (result) => {
      if (result === undefined) return this.think()
      this.#addUp(result.entries)
      if (result.entries.length === 0) return this.#openAccounts()
      if (dice.chance(0.15)) return this.#readAsOf(result.revision - dice.below(20))
      if (dice.chance(0.6)) return this.#transfer(result.entries)
      this.think()
    })
  }

  #openAccounts(): void {
    const [first = ''] = this.#accounts
    const puts = this.#accounts.map((key) => ({ type: 'put' as const, key, value: String(BALANCE) }))
    const compare = { key: first, target: 'version', relation: '=', operand: 0 } as const
    this.#commit({ compares: [compare], then: puts, else: [] })
  }

  /** If both accounts are as they were read. */
  #transfer(entries: readonly KvEntry[]): void {
    const { dice } = this.spec
    const [from, to] = dice.shuffled(entries)
    if (from === undefined || to === undefined) return this.think()
    const amount = dice.between(0, balanceOf(from))
    const put = (entry: KvEntry, balance: number): KvOperation => {
      return { type: 'put', key: entry.key, value: String(balance), wantPrevious: dice.chance(0.3) }
    }
    this.#commit({
      compares: dice.chance(0.7) ? [sameRevision(from), sameRevision(to)] : [sameValue(from), sameValue(to)],
      then: [put(from, balanceOf(from) - amount), put(to, balanceOf(to) + amount)],
      else: [
        { type: 'get', key: from.key },
        { type: 'range', ...ACCOUNTS, limit: 2, reverse: true },
      ],
    })
  }

  /** Each leaves a note of its own, so that the ledger knows it. */
  #commit({ compares, then, else: otherwise }: Omit<TxnCommand, 'type'>): void {
    const token = this.token()
    const note = { type: 'put', key: `note/${this.spec.name}`, value: token } as const
    this.propose({ type: 'txn', compares, then: [...then, note], else: otherwise }, token, () => this.think())
  }

  #addUpInTxn(): void {
    const command = { type: 'txn', compares: [], then: [{ type: 'range', ...ACCOUNTS }], else: [] } as const
    this.propose(command, undefined, (result) => {
      const [range] = result !== undefined && 'results' in result ? result.results : []
      if (range !== undefined && 'entries' in range) this.#addUp(range.entries)
      this.think()
    })
  }

  #readAsOf(revision: number): void {
    if (revision < 1) return this.think()
    const query = { ...ACCOUNTS, reverse: this.spec.dice.chance(0.5) }
    const done = (result: { readonly entries: readonly KvEntry[] } | undefined): void => {
      if (result !== undefined) this.#addUp(result.entries)
      this.think()
    }
    this.range(query, 'eventual', done, revision)
  }

  #addUp(entries: readonly KvEntry[]): void {
    const total = entries.reduce((sum, entry) => sum + balanceOf(entry), 0)
    if (entries.length === 0 || total === BALANCE * this.#accounts.length) return
    const found = entries.map((entry) => `${textOf(entry.key)}: ${balanceOf(entry)}`).join(', ')
    this.judge(new Violation('the total of a bank never changes', `${this.spec.name} found ${total}: ${found}`))
  }
}

function balanceOf({ value }: KvEntry): number {
  return Number(textOf(value))
}

function sameRevision({ key, modRevision }: KvEntry): TxnCommand['compares'][number] {
  return { key, target: 'modRevision', relation: '=', operand: modRevision }
}

function sameValue({ key, value }: KvEntry): TxnCommand['compares'][number] {
  return { key, target: 'value', relation: '=', operand: value }
}
