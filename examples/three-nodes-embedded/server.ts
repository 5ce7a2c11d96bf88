/** One node of three: an embedded server, and HTTP for its clients. Ctrl-C hands leadership on and stops it. */
import { EmbeddedEngine } from 'actorum'
import { serveHttp } from './http.js'

const id = Number(process.argv[2])
const raftPort = Number(process.env.RAFT_PORT ?? 9080)
const httpPort = Number(process.env.HTTP_PORT ?? 8080)
const dataDir = process.env.DATA_DIR ?? './data/three-nodes'
if (![1, 2, 3].includes(id)) {
  console.error('Which node is this? Give 1, 2 or 3.')
  process.exit(1)
}

const members = [1, 2, 3].map((member) => ({ id: member, address: `127.0.0.1:${raftPort + member}` }))
const engine = await EmbeddedEngine.start({
  id,
  dataDir: `${dataDir}/${id}`,
  listen: `127.0.0.1:${raftPort + id}`,
  members,
})

let known = ''
engine.roleActor.subscribe(() => {
  const view = `${engine.role} in term ${engine.term}, led by ${engine.leaderId ?? 'nobody known'}`
  if (view !== known) console.log(`node ${id}: ${view}`)
  known = view
})

const http = serveHttp(engine, httpPort + id)
http.on('listening', () => console.log(`node ${id}: http://127.0.0.1:${httpPort + id}`))
http.on('error', (error) => {
  console.error(`node ${id}: ${error.message}`)
  process.exitCode = 1
  void stop()
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop())

async function stop(): Promise<void> {
  http.close()
  http.closeAllConnections()
  await engine.stop()
}
