import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { undoAtExit } from './clean-up.js'
import type { ContenderMessage, ContenderSpec } from './contender-messages.js'

/** One start of one contender, in a process of its own. */
export class ContenderProcess {
  readonly name: string
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  #isKilled = false
  #output = ''

  constructor(spec: ContenderSpec, hear: (message: ContenderMessage) => void, failed: (reason: string) => void) {
    this.name = spec.name
    const worker = fileURLToPath(new URL('./contender-worker.ts', import.meta.url))
    this.#child = fork(worker, [JSON.stringify(spec)], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    const release = undoAtExit(() => this.#child.kill('SIGKILL'))
    this.#child.stderr?.on('data', (text: Buffer) => (this.#output = (this.#output + text.toString()).slice(-4000)))
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', () => {
        release()
        resolve()
      })
    })
    this.#child.on('message', hear)
    void this.#ended.then(() => {
      if (!this.#isKilled) failed(`the process of ${this.name} ended by itself: ${this.#output}`)
    })
  }

  pause(): void {
    this.#child.kill('SIGSTOP')
  }

  resume(): void {
    this.#child.kill('SIGCONT')
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#isKilled = true
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
