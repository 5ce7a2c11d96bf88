/** One server of the failover measurement in a process of its own. */
import { EmbeddedEngine } from '../src/index.js'
import { answerParent } from './ipc.js'
import { listenOf } from './subject.js'
import type { Members } from './subject.js'

export interface Leader {
  readonly id: number
  readonly term: number
}

export interface FailoverProtocol {
  /** Answered once a leader is known and its no-op is committed. */
  start: { ask: { id: number; dataDir: string; members: Members }; reply: Leader }
  /** Answered once that holds for a leader of a later term. */
  leaderAfter: { ask: { term: number }; reply: Leader }
}

const READY_TIMEOUT_MS = 30_000

let engine: EmbeddedEngine | undefined

answerParent<FailoverProtocol>({
  start: async ({ id, dataDir, members }) => {
    engine = await EmbeddedEngine.start({ id, dataDir, members, listen: listenOf(members, id) })
    return readyLeader(engine)
  },
  leaderAfter: async ({ term }) => {
    if (engine === undefined) throw new Error('this server was asked for a leader before it was started')
    await laterLeader(engine, term)
    return readyLeader(engine)
  },
})

async function readyLeader(engine: EmbeddedEngine): Promise<Leader> {
  await engine.ready({ timeoutMs: READY_TIMEOUT_MS })
  const { leaderId, term } = engine
  if (leaderId === undefined) throw new Error(`server ${engine.id} is ready but knows no leader`)
  return { id: leaderId, term }
}

function laterLeader(engine: EmbeddedEngine, term: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const known = (): boolean => engine.term > term && engine.leaderId !== undefined
    if (known()) return resolve()
    const late = new Error(`server ${engine.id} saw no leader after term ${term} within ${READY_TIMEOUT_MS} ms`)
    const deadline = setTimeout(() => reject(late), READY_TIMEOUT_MS)
    const subscription = engine.roleActor.subscribe(() => setImmediate(settle))
    function settle(): void {
      if (!known()) return
      clearTimeout(deadline)
      subscription.unsubscribe()
      resolve()
    }
  })
}
