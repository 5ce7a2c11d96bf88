import type { ClientApi } from '../../src/index.js'
import { ClosedLoop } from '../closed-loop.js'
import type { Measured } from '../closed-loop.js'
import type { Handlers } from '../ipc.js'
import { Contenders } from './contenders.js'
import type { Holding } from './contenders.js'
import { Announcer, Audience } from './fan-out.js'
import type { Announced, Moment, Watching } from './fan-out.js'
import { fill, keyIn } from './keys.js'
import type { Fill, KeyFamily } from './keys.js'
import { prepare } from './operations.js'
import type { Prepared } from './operations.js'
import type { Calls } from './rows.js'

/** What is asked of a server's process where coordination is measured. What is measured counts from the last `…Mark`. */
export interface CoordinationProtocol {
  fill: { ask: Fill; reply: void }
  /** How many keys of a family this server has. */
  keysIn: { ask: KeyFamily; reply: number }
  callsBegin: { ask: { calls: Calls; keys: number }; reply: void }
  callsMark: { ask: void; reply: void }
  callsMeasured: { ask: void; reply: Measured }
  callsEnd: { ask: void; reply: void }
  announceBegin: { ask: void; reply: void }
  announceMark: { ask: void; reply: void }
  announced: { ask: void; reply: Announced }
  announceEnd: { ask: void; reply: void }
  /** All watchers have the announcer's write of that number. */
  seen: { ask: number; reply: void }
  watchBegin: { ask: Watching; reply: void }
  watchMark: { ask: void; reply: void }
  /** The last write that all watchers have, once that is a later one than this. */
  seenByAll: { ask: number; reply: number }
  sightings: { ask: void; reply: readonly Moment[] }
  watchEnd: { ask: void; reply: void }
  contendBegin: { ask: number; reply: void }
  contendMark: { ask: void; reply: void }
  holdings: { ask: void; reply: readonly Holding[] }
  contendEnd: { ask: void; reply: void }
}

type Answers<Names extends keyof CoordinationProtocol> = Handlers<Pick<CoordinationProtocol, Names>>

export function coordinationAnswers(client: () => ClientApi): Handlers<CoordinationProtocol> {
  return { ...callAnswers(client), ...fanOutAnswers(client), ...contentionAnswers(client) }
}

type CallNames = 'fill' | 'keysIn' | 'callsBegin' | 'callsMark' | 'callsMeasured' | 'callsEnd'

function callAnswers(client: () => ClientApi): Answers<CallNames> {
  let running: { readonly loop: ClosedLoop; readonly prepared: Prepared } | undefined
  const loop = (): ClosedLoop => begun(running, 'callsBegin').loop
  return {
    fill: (ask) => fill(client(), ask),
    keysIn: async (family) => {
      const prefix = keyIn(family, 0).charAt(0)
      return (await client().range({ prefix, countOnly: true, consistency: 'eventual' })).count
    },
    callsBegin: async ({ calls, keys }) => {
      const prepared = await prepare(client(), calls, keys)
      running = { loop: new ClosedLoop(prepared.operation, prepared.perTurn), prepared }
      running.loop.begin(calls.clients)
    },
    callsMark: () => loop().measureBegin(),
    callsMeasured: () => loop().measureEnd(),
    callsEnd: async () => {
      const ending = begun(running, 'callsBegin')
      await ending.loop.end()
      await ending.prepared.end()
    },
  }
}

type AnnounceNames = 'announceBegin' | 'announceMark' | 'announced' | 'announceEnd' | 'seen'
type WatchNames = 'watchBegin' | 'watchMark' | 'seenByAll' | 'sightings' | 'watchEnd'

function fanOutAnswers(client: () => ClientApi): Answers<AnnounceNames | WatchNames> {
  let announcer: Announcer | undefined
  let audience: Audience | undefined
  let look: () => void = () => undefined
  const watchers = (): Audience => begun(audience, 'watchBegin')
  return {
    announceBegin: () => {
      announcer = new Announcer(client())
      announcer.begin()
    },
    announceMark: () => begun(announcer, 'announceBegin').mark(),
    announced: () => begun(announcer, 'announceBegin').announced(),
    announceEnd: () => begun(announcer, 'announceBegin').end(),
    seen: (sequence) => begun(announcer, 'announceBegin').seen(sequence),
    watchBegin: (watching) => {
      audience = new Audience(client(), watching, {
        seenByAll: (sequence) => {
          announcer?.seen(sequence)
          look()
        },
        failed: () => look(),
      })
    },
    watchMark: () => watchers().mark(),
    seenByAll: async (after) => {
      const asked = watchers()
      while (asked === audience && asked.lastSeenByAll <= after) await new Promise<void>((again) => (look = again))
      return asked.lastSeenByAll
    },
    sightings: () => watchers().sightings,
    watchEnd: async () => {
      const ending = watchers()
      audience = undefined
      look()
      await ending.end()
    },
  }
}

function contentionAnswers(
  client: () => ClientApi,
): Answers<'contendBegin' | 'contendMark' | 'holdings' | 'contendEnd'> {
  let contenders: Contenders | undefined
  return {
    contendBegin: (count) => {
      contenders = new Contenders(client(), count)
    },
    contendMark: () => begun(contenders, 'contendBegin').mark(),
    holdings: () => begun(contenders, 'contendBegin').holdings,
    contendEnd: () => begun(contenders, 'contendBegin').end(),
  }
}

function begun<Thing>(thing: Thing | undefined, question: keyof CoordinationProtocol): Thing {
  if (thing === undefined) throw new Error(`this server was asked for what only ${question} begins`)
  return thing
}
