import { setTimeout as delay } from 'node:timers/promises'
import { ActorumError } from '../../src/index.js'
import type { EmbeddedEngine } from '../../src/index.js'
import { readWriter } from './client.js'
import { KEYS_PER_WRITER, keyOf } from './ledger.js'
import type { Ledger } from './ledger.js'
import type { Reporter } from './reporter.js'
import { encodeValue } from './value.js'

const PAUSE_AFTER_ERROR_MS = 20

/** One of the clients inside a server: it writes, and looks back whenever the term has changed. */
export class Writer {
  readonly #engine: EmbeddedEngine
  readonly #ledger: Ledger
  readonly #reporter: Reporter
  readonly #pauseMs: number
  #stopped = false
  /** The term in which everything acknowledged was last found in its place. */
  #verifiedTerm = -1

  constructor(engine: EmbeddedEngine, ledger: Ledger, reporter: Reporter, pauseMs: number) {
    this.#engine = engine
    this.#ledger = ledger
    this.#reporter = reporter
    this.#pauseMs = pauseMs
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      if (this.#engine.term !== this.#verifiedTerm) await this.#lookBack()
      else await this.#write()
      if (this.#pauseMs > 0) await delay(this.#pauseMs)
    }
  }

  stop(): void {
    this.#stopped = true
  }

  async #write(): Promise<void> {
    const ledger = this.#ledger
    const sequence = ++ledger.last
    try {
      await this.#engine.client.put(keyOf(ledger.writer, sequence % KEYS_PER_WRITER), encodeValue(sequence))
      ledger.acknowledge([sequence, sequence])
      this.#reporter.acknowledged(ledger.writer, sequence)
    } catch (error) {
      const code = codeOf(error)
      if (code === 'OUTCOME_UNKNOWN') ledger.outcomeUnknown([sequence, sequence])
      this.#reporter.failed(ledger.writer, sequence, code)
      await delay(PAUSE_AFTER_ERROR_MS)
    }
  }

  async #lookBack(): Promise<void> {
    const { term } = this.#engine
    const ledger = this.#ledger
    try {
      const found = await readWriter(this.#engine.client, ledger.writer, 'linearizable')
      found.forEach((sequence, key) => {
        const verdict = ledger.judge(sequence, ledger.acknowledged[key]!)
        if (verdict !== 'kept') this.#reporter.broken({ verdict, writer: ledger.writer, key, found: sequence, term })
      })
      this.#reporter.looked(found.length)
      this.#verifiedTerm = term
    } catch (error) {
      this.#reporter.readFailed(codeOf(error))
      await delay(PAUSE_AFTER_ERROR_MS)
    }
  }
}

/** The code of a refused call; whatever else was thrown is thrown on. */
export function codeOf(error: unknown): string {
  if (error instanceof ActorumError) return error.code
  throw error
}
