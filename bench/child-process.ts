import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Answer, Protocol } from './ipc.js'

interface Pending {
  readonly resolve: (reply: unknown) => void
  readonly reject: (error: Error) => void
}

const running = new Set<ChildProcess>()

// Whoever waits for an answer then fails, cleans up and ends.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => running.forEach((child) => child.kill('SIGKILL')))
}

/** A forked process that answers the questions of `P`. */
export class Child<P extends Protocol<P>> {
  readonly #process: ChildProcess
  readonly #pending = new Map<number, Pending>()
  /** It is gone, and all that it said has been heard. */
  readonly #exited: Promise<unknown>
  #lastId = 0

  constructor(module: URL, execArgv: readonly string[] = [], notice: (notice: unknown) => void = () => undefined) {
    this.#process = fork(module, { execArgv: [...execArgv], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#exited = Promise.all([once(this.#process, 'exit'), once(this.#process, 'disconnect')])
    running.add(this.#process)
    this.#process.on('message', (answer: Answer) => {
      if ('notice' in answer) notice(answer.notice)
      else this.#settle(answer)
    })
    this.#process.on('exit', (code, signal) => {
      running.delete(this.#process)
      const error = new Error(`a benchmark process ended (${signal ?? `status ${code}`}) before it had answered`)
      for (const { reject } of this.#pending.values()) reject(error)
      this.#pending.clear()
    })
  }

  ask<Name extends keyof P & string>(name: Name, ask: P[Name]['ask']): Promise<P[Name]['reply']> {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#process.send({ id, name, ask }, (error) => error && this.#settle({ id, failure: error.message }))
    })
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#exited
  }

  #settle(answer: Exclude<Answer, { notice: unknown }>): void {
    const pending = this.#pending.get(answer.id)
    this.#pending.delete(answer.id)
    if ('failure' in answer) pending?.reject(new Error(answer.failure))
    else pending?.resolve(answer.reply)
  }
}
