import { setTimeout as pause } from 'node:timers/promises'
import { lock, type Hold } from '../../src/client/recipes/index.js'
import { op } from '../../src/client/txn.js'
import { ActorumError, EmbeddedEngine, type ClientApi, type ErrorCode } from '../../src/index.js'
import { LOCK, RESOURCE_KEY, type ContenderMessage, type ContenderSpec } from './contender-messages.js'

// A server in a process of its own, and one who contends there for a lock: takes it, writes while it is held, gives it up.

const spec = JSON.parse(process.argv[2] ?? '') as ContenderSpec
const start = BigInt(spec.startNs)
const LOOKS_EVERY_MS = 2
const WRITES_EVERY_MS = 10
const HOLDS_MS_MAX = 200
/** Every third time it is held until it is lost, but not for ever. */
const CLINGS_MS_MAX = 3000
const PASSING: readonly ErrorCode[] = ['NO_LEADER', 'TIMEOUT', 'OUTCOME_UNKNOWN', 'BUSY']

function nowNs(): number {
  return Number(process.hrtime.bigint() - start)
}

function tell(message: ContenderMessage): void {
  if (process.connected) process.send?.(message)
}

function fail(error: unknown): void {
  const code = error instanceof ActorumError ? error.code : undefined
  tell({ kind: 'failed', code, message: error instanceof Error ? (error.stack ?? error.message) : String(error) })
}

function codeOf(error: unknown): ErrorCode {
  if (error instanceof ActorumError) return error.code
  throw error
}

async function contend({ client }: EmbeddedEngine): Promise<never> {
  for (;;) {
    const held = await lock(client, LOCK, { ttlMs: spec.ttlMs })
    const phase = { isOver: false }
    const writing = write(client, held, phase)
    const isLost = await hold(held)
    phase.isOver = true
    await writing
    tell({ kind: 'ended', token: held.token, isLost })
    await held.release().catch((error: unknown) => {
      if (!PASSING.includes(codeOf(error))) throw error
    })
  }
}

/** Tells how long the lock is held, until it has been for long enough or is lost. */
async function hold(held: Hold): Promise<boolean> {
  const { token } = held
  const until = nowNs() + 1e6 * (Math.random() < 1 / 3 ? CLINGS_MS_MAX : Math.random() * HOLDS_MS_MAX)
  for (let isFirst = true; ; isFirst = false) {
    // Before it is asked: a process may be stopped between the two.
    const atNs = nowNs()
    if (!held.isHeld) return true
    tell({ kind: isFirst ? 'acquired' : 'held', token, atNs })
    if (atNs > until) return false
    await pause(LOOKS_EVERY_MS)
    tell({ kind: 'used', token })
  }
}

/** Writes as long as the lock is held, and once more, without asking whether it is. */
async function write(client: ClientApi, held: Hold, phase: { readonly isOver: boolean }): Promise<void> {
  for (let at = 0, isLast = false; !isLast; at++) {
    isLast = phase.isOver
    const callNs = nowNs()
    // What the holder itself knows is left out every second time.
    const outcome = await (at % 2 === 0 ? writeGuarded(held) : writeCompared(client, held)).catch(outcomeOf)
    tell({ kind: 'wrote', token: held.token, callNs, outcome })
    await pause(WRITES_EVERY_MS)
  }
}

type Outcome = 'done' | 'lost' | 'unknown'

async function writeGuarded(held: Hold): Promise<Outcome> {
  await held.guarded().put(RESOURCE_KEY, valueOf(held))
  return 'done'
}

async function writeCompared(client: ClientApi, held: Hold): Promise<Outcome> {
  const put = op.put(RESOURCE_KEY, valueOf(held))
  const { succeeded } = await client.txn().if(held.whileHeld).then(put).commit()
  return succeeded ? 'done' : 'lost'
}

function valueOf({ token }: Hold): string {
  return JSON.stringify({ token, contender: spec.name })
}

function outcomeOf(error: unknown): Outcome {
  const code = codeOf(error)
  if (code === 'LOST') return 'lost'
  if (PASSING.includes(code)) return 'unknown'
  throw error
}

async function tellWrites({ client }: EmbeddedEngine): Promise<void> {
  for await (const event of client.watch(RESOURCE_KEY, { fromRevision: spec.seenFrom })) {
    if (event.type !== 'changes') continue
    for (const change of event.changes) {
      if (change.type !== 'put') continue
      const written = JSON.parse(new TextDecoder().decode(change.entry.value)) as { token: number; contender: string }
      tell({ kind: 'seen', revision: event.revision, ...written })
    }
  }
}

// Ctrl-C in a terminal reaches all processes; the parent decides.
process.on('SIGINT', () => undefined)
process.on('disconnect', () => process.exit(0))

try {
  const engine = await EmbeddedEngine.start({
    ...spec.options,
    log: ({ level, message }) => level === 'error' && tell({ kind: 'failed', code: undefined, message }),
  })
  tell({ kind: 'started' })
  await Promise.all([contend(engine), tellWrites(engine)])
} catch (error) {
  fail(error)
}
