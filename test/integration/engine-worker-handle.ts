import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { EngineOptions } from '../../src/index.js'

export interface WorkerRequest {
  readonly call: number
  readonly method: 'put' | 'get' | 'leaderId'
  readonly args: readonly string[]
}

/** Of call 0: the engine has started, or why it has not. */
export interface WorkerReply {
  readonly call: number
  readonly value?: unknown
  readonly code?: string
}

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** An engine in a process of its own. Rejections carry the error's code as their message. */
export class WorkerEngine {
  readonly started: Promise<unknown>
  readonly #child: ChildProcess
  readonly #exited: Promise<void>
  readonly #waiting = new Map<number, Waiting>()
  #calls = 0

  constructor(options: EngineOptions) {
    const worker = fileURLToPath(new URL('./engine-worker.ts', import.meta.url))
    this.#child = fork(worker, [JSON.stringify(options)], { execArgv: ['--import', 'tsx'] })
    this.#exited = new Promise((resolve) => this.#child.once('exit', () => resolve()))
    void this.#exited.then(() => this.#waiting.forEach(({ reject }) => reject(new Error('the process has ended'))))
    this.#child.on('message', ({ call, value, code }: WorkerReply) => {
      const waiting = this.#waiting.get(call)
      this.#waiting.delete(call)
      if (code === undefined) waiting?.resolve(value)
      else waiting?.reject(new Error(code))
    })
    this.started = this.#answerTo(0)
    this.started.catch(() => undefined)
  }

  call(method: WorkerRequest['method'], ...args: readonly string[]): Promise<unknown> {
    const call = ++this.#calls
    const answer = this.#answerTo(call)
    this.#child.send({ call, method, args } satisfies WorkerRequest)
    return answer
  }

  #answerTo(call: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(call, { resolve, reject }))
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }
}
