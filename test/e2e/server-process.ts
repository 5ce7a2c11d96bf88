import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ErrorCode, MembershipChangeRequest } from '../../src/index.js'
import { undoAtExit } from './clean-up.js'
import type { Answer, ClientCall, ParentMessage, WorkerMessage, WorkerSpec, WorkerStatus } from './worker-messages.js'

/** What its keeper hears of a server's process. */
export interface ServerEvents {
  /** `atNs` is counted from the spec's `startNs`. */
  leads(term: number, atNs: number): void
  /** It leads that term no more. */
  led?(term: number, atNs: number): void
  /** It stopped by itself, or did what it never should. */
  failed(reason: string): void
}

interface Waiting {
  readonly answered: (message: WorkerMessage) => void
  /** The process has ended. */
  readonly ended: () => void
}

/** A server's process did not start; `code` says why. */
export class StartRefused extends Error {
  readonly code: ErrorCode | undefined

  constructor(code: ErrorCode | undefined, message: string) {
    super(message)
    this.code = code
  }
}

/** One start of one server, in a process of its own. */
export class ServerProcess {
  /** Names this start in a history: an eventual read may go back when its server starts again. */
  readonly name: string
  readonly started: Promise<void>
  readonly #child: ChildProcess
  readonly #events: ServerEvents
  readonly #ended: Promise<void>
  readonly #waiting = new Map<number, Waiting>()
  #numbers = 0
  #hasStarted = false
  #isPaused = false
  #isKilled = false
  #output = ''

  constructor(name: string, spec: WorkerSpec, events: ServerEvents) {
    this.name = name
    this.#events = events
    const worker = fileURLToPath(new URL('./server-worker.ts', import.meta.url))
    const options = {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'] as ['ignore', 'ignore', 'pipe', 'ipc'],
    }
    this.#child = fork(worker, [JSON.stringify(spec)], options)
    const release = undoAtExit(() => this.#child.kill('SIGKILL'))
    this.#child.stderr?.on('data', (text: Buffer) => (this.#output = (this.#output + text.toString()).slice(-4000)))
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', () => {
        release()
        resolve()
      })
    })
    this.started = new Promise((resolve, reject) => {
      this.#child.on('message', (message: WorkerMessage) => this.#received(message, resolve, reject))
      void this.#ended.then(() => this.#hasEnded(reject))
    })
    this.started.catch(() => undefined)
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Makes a call there; undefined when the process ended first. */
  call(call: ClientCall): Promise<Answer | undefined> {
    return this.#ask(
      (number) => ({ kind: 'call', number, call }),
      (message) => (message.kind === 'answer' ? message.answer : undefined),
    )
  }

  /** undefined when the process ended first. */
  status(): Promise<WorkerStatus | undefined> {
    return this.#ask(
      (number) => ({ kind: 'status', number }),
      (message) => (message.kind === 'status' ? message.status : undefined),
    )
  }

  /** Asks it to change the membership. `'changed'`, why not, or undefined when the process ended first. */
  change(change: MembershipChangeRequest): Promise<ErrorCode | 'changed' | undefined> {
    return this.#ask(
      (number) => ({ kind: 'change', number, change }),
      (message) => (message.kind === 'changed' ? (message.code ?? 'changed') : undefined),
    )
  }

  /** Lets it stop in good order: a leader hands leadership on first. */
  async stop(): Promise<void> {
    this.#isKilled = true
    await this.#ask(
      (number) => ({ kind: 'stop', number }),
      () => undefined,
    )
    await this.#ended
  }

  pause(): void {
    this.#isPaused = true
    this.#child.kill('SIGSTOP')
  }

  resume(): void {
    this.#isPaused = false
    this.#child.kill('SIGCONT')
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#isKilled = true
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  #ask<Found>(
    make: (number: number) => ParentMessage,
    read: (message: WorkerMessage) => Found,
  ): Promise<Found | undefined> {
    return new Promise((resolve) => {
      const number = ++this.#numbers
      const ended = (): void => {
        this.#waiting.delete(number)
        resolve(undefined)
      }
      if (!this.#child.connected) return ended()
      this.#waiting.set(number, { answered: (message) => resolve(read(message)), ended })
      // A process that has just died takes no message; its end is on its way.
      this.#child.send(make(number), (error) => error === null || ended())
    })
  }

  #received(message: WorkerMessage, started: () => void, refused: (error: Error) => void): void {
    switch (message.kind) {
      case 'started':
        this.#hasStarted = true
        return started()
      case 'failed':
        if (this.#hasStarted) this.#events.failed(`server ${this.name} failed: ${message.message}`)
        else refused(new StartRefused(message.code, `server ${this.name} did not start: ${message.message}`))
        return
      case 'leads':
        return this.#events.leads(message.term, message.atNs)
      case 'led':
        return this.#events.led?.(message.term, message.atNs)
      case 'answer':
      case 'status':
      case 'changed':
        this.#waiting.get(message.number)?.answered(message)
        this.#waiting.delete(message.number)
    }
  }

  #hasEnded(refused: (error: Error) => void): void {
    for (const { ended } of this.#waiting.values()) ended()
    if (this.#isKilled) return refused(new Error(`server ${this.name} was killed before it had started`))
    const { exitCode, signalCode } = this.#child
    const reason = `the process of server ${this.name} ended by itself (${signalCode ?? exitCode}): ${this.#output}`
    if (this.#hasStarted) this.#events.failed(reason)
    else refused(new Error(reason))
  }
}
