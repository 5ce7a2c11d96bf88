import { setTimeout as delay } from 'node:timers/promises'
import type { EmbeddedEngine } from '../../src/index.js'
import { KEYS_PER_WRITER, keyOf } from './ledger.js'
import type { Ledger } from './ledger.js'
import type { Reporter } from './reporter.js'
import { decodeValue } from './value.js'
import { codeOf } from './writer.js'

const CONSISTENCIES = ['linearizable', 'lease', 'eventual'] as const
const PAUSE_AFTER_ERROR_MS = 20

/** Reads what the writers of the same server write, while they write it. */
export class Reader {
  readonly #engine: EmbeddedEngine
  readonly #ledgers: readonly Ledger[]
  readonly #reporter: Reporter
  readonly #pauseMs: number
  #stopped = false

  constructor(engine: EmbeddedEngine, ledgers: readonly Ledger[], reporter: Reporter, pauseMs: number) {
    this.#engine = engine
    this.#ledgers = ledgers
    this.#reporter = reporter
    this.#pauseMs = pauseMs
  }

  async run(): Promise<void> {
    for (let turn = 0; !this.#stopped; turn++) {
      const ledger = this.#ledgers[Math.floor(Math.random() * this.#ledgers.length)]!
      await this.#read(ledger, Math.floor(Math.random() * KEYS_PER_WRITER), CONSISTENCIES[turn % 3]!)
      if (this.#pauseMs > 0) await delay(this.#pauseMs)
    }
  }

  stop(): void {
    this.#stopped = true
  }

  async #read(ledger: Ledger, key: number, consistency: (typeof CONSISTENCIES)[number]): Promise<void> {
    const acknowledged = ledger.acknowledged[key]!
    const { client, term } = this.#engine
    try {
      const found = decodeValue(await client.get(keyOf(ledger.writer, key), { consistency }))
      this.#reporter.looked(1)
      // An eventual read may be old; and what is newer than acknowledged may be under way.
      if (consistency === 'eventual' || ledger.judge(found, acknowledged) !== 'lost') return
      this.#reporter.broken({ verdict: 'lost', writer: ledger.writer, key, found, term })
    } catch (error) {
      this.#reporter.readFailed(codeOf(error))
      await delay(PAUSE_AFTER_ERROR_MS)
    }
  }
}
