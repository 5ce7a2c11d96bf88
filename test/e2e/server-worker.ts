import { ActorumError, EmbeddedEngine } from '../../src/index.js'
import type { Answer, ClientCall, ParentMessage, WorkerMessage, WorkerSpec } from './worker-messages.js'

// A server in a process of its own, and the clients that live there: its parent says what they call, and may kill it.

const { options, startNs } = JSON.parse(process.argv[2] ?? '') as WorkerSpec
const start = BigInt(startNs)

function nowNs(): number {
  return Number(process.hrtime.bigint() - start)
}

function tell(message: WorkerMessage): void {
  if (process.connected) process.send?.(message)
}

function fail(error: unknown): void {
  const code = error instanceof ActorumError ? error.code : undefined
  tell({ kind: 'failed', code, message: error instanceof Error ? (error.stack ?? error.message) : String(error) })
}

/** Makes the call; the result is what a history calls its output. */
async function perform({ client }: EmbeddedEngine, call: ClientCall): Promise<unknown> {
  const { key, timeoutMs } = call
  switch (call.op) {
    case 'put':
      return (await client.put(key, call.value, { timeoutMs })).revision
    case 'delete':
      return client.delete(key, { timeoutMs })
    case 'cas':
      return client.compareAndSwap(key, call.expected ?? undefined, call.value, { timeoutMs })
    case 'get': {
      const value = await client.get(key, { timeoutMs, consistency: call.consistency })
      return value === undefined ? null : new TextDecoder().decode(value)
    }
  }
}

async function answerTo(engine: EmbeddedEngine, call: ClientCall): Promise<Answer> {
  const callNs = nowNs()
  try {
    const result = perform(engine, call)
    // An eventual read is made during its call, so this is the state that it saw.
    const seen = call.op === 'get' && call.consistency === 'eventual' ? engine.status().lastApplied : undefined
    const output = await result
    return { callNs, returnNs: nowNs(), outcome: 'ok', output, seen }
  } catch (error) {
    if (!(error instanceof ActorumError)) throw error
    const outcome = error.code === 'OUTCOME_UNKNOWN' ? 'unknown' : 'failed'
    return { callNs, returnNs: nowNs(), outcome, code: error.code }
  }
}

function reportLeadership(engine: EmbeddedEngine): void {
  let ledTerm = 0
  let isLeader = false
  const look = (): void => {
    const leads = engine.isLeader
    if (isLeader && (!leads || engine.term !== ledTerm)) tell({ kind: 'led', term: ledTerm, atNs: nowNs() })
    if (leads && engine.term !== ledTerm) tell({ kind: 'leads', term: engine.term, atNs: nowNs() })
    if (leads) ledTerm = engine.term
    isLeader = leads
  }
  engine.roleActor.subscribe(look)
  look()
}

function answer(engine: EmbeddedEngine, message: ParentMessage): void {
  const { number } = message
  switch (message.kind) {
    case 'status':
      return tell({ kind: 'status', number, status: { ...engine.status(), roles: engine.members() } })
    case 'call':
      answerTo(engine, message.call).then((answer) => tell({ kind: 'answer', number, answer }), fail)
      return
    case 'change':
      engine.changeMembership(message.change).then(
        () => tell({ kind: 'changed', number }),
        (error: unknown) => {
          if (error instanceof ActorumError) tell({ kind: 'changed', number, code: error.code })
          else fail(error)
        },
      )
      return
    case 'stop':
      engine.stop().then(() => process.exit(0), fail)
  }
}

// Ctrl-C in a terminal reaches all processes; the parent decides.
process.on('SIGINT', () => undefined)
process.on('disconnect', () => process.exit(0))

try {
  const engine = await EmbeddedEngine.start({
    ...options,
    log: ({ level, message }) => level === 'error' && tell({ kind: 'failed', code: undefined, message }),
  })
  process.on('message', (message: ParentMessage) => answer(engine, message))
  reportLeadership(engine)
  tell({ kind: 'started' })
} catch (error) {
  fail(error)
}
