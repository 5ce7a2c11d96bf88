import { EmbeddedEngine } from '../src/index.js'
import { listenOf } from './subject.js'
import type { ServerPlan, Subject } from './subject.js'

const READY_TIMEOUT_MS = 20_000

/** One server of the engine under test, behind the calls that the limit has. */
export async function startEngine(plan: ServerPlan): Promise<Subject> {
  const engine = await EmbeddedEngine.start({ ...plan, listen: listenOf(plan.members, plan.id) })
  await engine.ready({ timeoutMs: READY_TIMEOUT_MS })
  const { client } = engine
  return {
    get leads() {
      return engine.isLeader
    },
    put: (key, value) => client.put(key, value),
    get: (key, consistency) => client.get(key, { consistency }),
  }
}
