// Ends by itself. Three role machines in one process, with neither clock nor disk nor network: an election, step by step.
import { crc32, raftMachine, step, type Message, type RaftEvent, type RaftInput } from 'actorum/machines'
import { createActor } from 'xstate'

const configuration = { voters: [1, 2, 3], learners: [] }

/** What a new server with an empty log begins with. */
function inputOf(id: number): RaftInput {
  const boundary = { index: 0, term: 0, checksum: 0, clusterTime: 0, configuration }
  return {
    id,
    seed: id,
    now: 0,
    wallTime: 0,
    clusterId: 'by hand',
    hardState: { term: 0, votedFor: undefined, promiseMs: 0 },
    log: { boundary, lastIndex: 0, lastChecksum: 0, lastClusterTime: 0, termStarts: [] },
    configurations: [],
    settings: {
      electionTimeoutMs: 1000,
      heartbeatIntervalMs: 100,
      leaseMs: 900,
      appendBytesMax: 1024 * 1024,
      inflightAppendsMax: 64,
      inflightBytesMax: 8 * 1024 * 1024,
      uncommittedBytesMax: 64 * 1024 * 1024,
      logTailBytesMax: 16 * 1024 * 1024,
      promotionLagEntries: 1000,
      promotionAfterMs: 1000,
      electionPriority: 0,
      checksum: crc32,
    },
  }
}

interface UnderWay {
  readonly to: number
  readonly event: (now: number) => RaftEvent
}

let now = 0
/** What is on its way: messages between servers, and writes that come back to the server they are from. */
const underWay: UnderWay[] = []
/** Timers that have been set, on the one clock here. */
const timers = new Map<object, { readonly id: number; readonly at: number; readonly fire: () => void }>()

const servers = new Map(configuration.voters.map((id) => [id, createServer(id)]))

function createServer(id: number) {
  const clock = {
    setTimeout: (fire: () => void, ms: number): object => {
      const timer = {}
      timers.set(timer, { id, at: now + ms, fire })
      return timer
    },
    clearTimeout: (timer: object): void => void timers.delete(timer),
  }
  const actor = createActor(raftMachine, { input: inputOf(id), clock })
  const post = (messages: readonly { readonly to: number; readonly message: Message }[]): void => {
    for (const { to, message } of messages) {
      console.log(`${now.toFixed(0).padStart(6)} ms  ${id} → ${to}  ${message.type}`)
      underWay.push({
        to,
        event: (at) => ({ type: message.type, from: id, message, now: at, wallTime: at }) as RaftEvent,
      })
    }
  }
  actor.on('*', (effect) => {
    if (effect.type === 'sendMessages') post(effect.messages)
    if (effect.type !== 'persist') return
    for (const { hardState, lastIndex: index, truncations, messages } of effect.steps) {
      // A disk would write `runs` and `hardState` here. This one is done at once, or the messages would wait for it.
      post(messages)
      underWay.push({
        to: id,
        event: (at) => ({ type: 'persisted', hardState, index, truncations, lastApplied: 0, now: at, wallTime: at }),
      })
    }
  })
  let role = ''
  actor.subscribe(({ value, context }) => {
    const next = typeof value === 'string' ? value : (Object.keys(value)[0] ?? '')
    if (next !== role)
      console.log(`${now.toFixed(0).padStart(6)} ms  ${id} is ${next} in term ${context.hardState.term}`)
    role = next
  })
  return actor
}

/** What a message's term means is settled before the role sees it. */
function send(id: number, event: RaftEvent): void {
  const actor = servers.get(id)!
  for (const settled of step(actor.getSnapshot().context, event)) actor.send(settled)
}

function isServing(): boolean {
  return [...servers.values()].some((actor) => actor.getSnapshot().matches({ leader: { authority: 'serving' } }))
}

for (const actor of servers.values()) actor.start()
while (!isServing()) {
  const next = underWay.shift()
  if (next !== undefined) {
    send(next.to, next.event(now))
    continue
  }
  const [timer, { id, at, fire }] = [...timers].reduce((one, other) => (other[1].at < one[1].at ? other : one))
  timers.delete(timer)
  now = at
  // The machine reads no clock: it is told the time before a timer fires.
  send(id, { type: 'clock', now, wallTime: now })
  fire()
}
console.log('its no-op is committed: it serves')
for (const actor of servers.values()) actor.stop()
