/** One server of the story, in a process of its own. Its options come as JSON in the first argument. */
import { ActorumError, EmbeddedEngine, type EngineOptions } from 'actorum'
import type { Calls, Note, Question, View } from './calls.js'

// Ctrl-C reaches every process of the terminal; the story alone decides what becomes of its servers.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
process.on('disconnect', () => process.exit())

const options = JSON.parse(process.argv[2] ?? '{}') as EngineOptions
const engine = await EmbeddedEngine.start({ ...options, log: ({ message }) => tell({ type: 'notice', text: message }) })
  // Nothing can be done here; the story hears why, and this process ends when the story lets go of it.
  .catch((error: unknown) => tellFailure(undefined, error))

if (engine !== undefined) {
  let told: View = { role: '', term: 0, leaderId: undefined }
  const tellView = (): void => {
    const { role, term, leaderId } = engine
    if (role === told.role && term === told.term && leaderId === told.leaderId) return
    told = { role, term, leaderId }
    tell({ type: 'view', view: told })
  }
  engine.roleActor.subscribe(tellView)
  tell({ type: 'started' })
  tellView()
  process.on('message', (question: Question) => {
    answer(engine, question).then(
      (reply) => tell({ type: 'reply', call: question.call, reply }),
      (error: unknown) => tellFailure(question.call, error),
    )
  })
}

async function answer(engine: EmbeddedEngine, { name, ask }: Question): Promise<Calls[keyof Calls]['reply']> {
  const from = performance.now()
  switch (name) {
    case 'put': {
      const { key, value } = ask as Calls['put']['ask']
      const { revision } = await engine.client.put(key, value, { timeoutMs: 20_000 })
      return { revision, ms: performance.now() - from }
    }
    case 'get': {
      const { key } = ask as Calls['get']['ask']
      const value = await engine.client.get(key, { timeoutMs: 20_000 })
      const ms = performance.now() - from
      return { value: value === undefined ? undefined : new TextDecoder().decode(value), ms }
    }
    case 'look':
      return engine.status()
  }
}

function tell(note: Note): void {
  // Once the story is gone there is nobody to tell, and 'disconnect' ends this process.
  if (process.connected) process.send?.(note, undefined, undefined, () => undefined)
}

function tellFailure(call: number | undefined, error: unknown): undefined {
  const code = error instanceof ActorumError ? error.code : 'UNEXPECTED'
  const message = error instanceof Error ? error.message : String(error)
  tell({ type: 'failed', call, code, message })
}
