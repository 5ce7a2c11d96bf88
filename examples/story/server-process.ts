import { fork, type ChildProcess } from 'node:child_process'
import type { EngineOptions } from 'actorum'
import type { Calls, Note, Question, View } from './calls.js'

export type ServerOptions = Required<Pick<EngineOptions, 'id' | 'dataDir' | 'listen' | 'members'>>

export class ServerFailure extends Error {
  override readonly name = 'ServerFailure'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

interface Waiting {
  readonly resolve: (reply: unknown) => void
  readonly reject: (error: Error) => void
}

const ERROR_CHARACTERS_MAX = 4000

/** One server's process, seen from the story. */
export class ServerProcess {
  readonly options: ServerOptions
  /** Resolves once the server listens. */
  readonly started: Promise<unknown>
  view: View | undefined
  /** Why it ended, if nobody here had ended it. */
  failure: Error | undefined
  readonly #process: ChildProcess
  readonly #exited: Promise<unknown>
  readonly #changed: () => void
  readonly #calls = new Map<number, Waiting>()
  #lastCall = 0
  #isKilled = false
  #errors = ''

  constructor(options: ServerOptions, changed: () => void) {
    this.options = options
    this.#changed = changed
    this.started = new Promise((resolve, reject) => this.#calls.set(0, { resolve, reject }))
    this.#process = fork(new URL('./server.ts', import.meta.url), [JSON.stringify(options)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#process.stderr?.on('data', (chunk) => (this.#errors = (this.#errors + chunk).slice(-ERROR_CHARACTERS_MAX)))
    this.#process.on('message', (note: Note) => this.#hear(note))
    this.#exited = new Promise((resolve) => {
      const end = (why: string): void => {
        this.#end(why)
        resolve(undefined)
      }
      this.#process.once('error', (error) => end(error.message))
      this.#process.once('exit', (status, signal) => end(signal ?? `status ${status}`))
    })
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  ask<Name extends keyof Calls>(name: Name, ask: Calls[Name]['ask']): Promise<Calls[Name]['reply']> {
    const call = ++this.#lastCall
    const question: Question<Name> = { call, name, ask }
    return new Promise((resolve, reject) => {
      // The reply has the type that the question's name gives it.
      this.#calls.set(call, { resolve: resolve as (reply: unknown) => void, reject })
      this.#process.send(question, (error) => {
        if (error !== null) this.#settle(call)?.reject(error)
      })
    })
  }

  /** kill -9, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#isKilled = true
    this.#process.kill('SIGKILL')
    await this.#exited
  }

  #hear(note: Note): void {
    switch (note.type) {
      case 'started':
        this.#settle(0)?.resolve(undefined)
        return
      case 'view':
        this.view = note.view
        this.#changed()
        return
      case 'reply':
        this.#settle(note.call)?.resolve(note.reply)
        return
      case 'failed':
        this.#settle(note.call ?? 0)?.reject(new ServerFailure(note.code, `server ${this.options.id}: ${note.message}`))
        return
      case 'notice':
        this.#errors += `${note.text}\n`
    }
  }

  #end(why: string): void {
    const failure = new ServerFailure('ENDED', `server ${this.options.id} ended: ${why}\n${this.#errors}`.trimEnd())
    if (!this.#isKilled) this.failure = failure
    for (const { reject } of this.#calls.values()) reject(failure)
    this.#calls.clear()
    this.view = undefined
    this.#changed()
  }

  #settle(call: number): Waiting | undefined {
    const waiting = this.#calls.get(call)
    this.#calls.delete(call)
    return waiting
  }
}
