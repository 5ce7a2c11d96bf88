import { once } from 'node:events'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import type { ServerPlan, Subject } from '../subject.js'
import { parseAddress } from '../../src/options.js'
import { listenOf } from '../subject.js'
import { Disk } from './disk.js'
import { BATCH, encodeSignal, numberOf, WRITTEN } from './frame.js'
import { Store } from './store.js'

/** Writes what the leader sends, says so, then applies it. */
export async function startLimitFollower(plan: ServerPlan): Promise<Subject> {
  const store = new Store()
  let leader: WebSocket | undefined
  const disk = await Disk.open(plan.dataDir, plan.durability === 'disk-first')
  disk.onWritten = (batches) => {
    leader?.send(encodeSignal(WRITTEN, numberOf(batches[batches.length - 1]!)))
    for (const batch of batches) store.apply(batch)
  }
  const server = new WebSocketServer({ ...parseAddress(listenOf(plan.members, plan.id)), perMessageDeflate: false })
  server.on('connection', (socket) => {
    leader = socket
    socket.on('message', (frame: Buffer) => {
      if (frame[0] === BATCH) disk.append(frame)
      else socket.send(frame)
    })
  })
  await once(server, 'listening')
  return {
    leads: false,
    put: () => Promise.reject(new Error('a follower of the limit takes no writes')),
    get: () => Promise.reject(new Error('a follower of the limit takes no reads')),
  }
}
