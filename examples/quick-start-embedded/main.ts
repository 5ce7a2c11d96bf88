/** One server, a cluster by itself, that keeps what it is told from one run to the next. */
import { EmbeddedEngine } from 'actorum'

const dataDir = process.argv[2] ?? './data/quick-start'

const engine = await EmbeddedEngine.start({ dataDir })
try {
  await engine.ready()
  const before = await engine.client.get('runs')
  const runs = before === undefined ? 1 : Number(new TextDecoder().decode(before)) + 1
  const { revision } = await engine.client.put('runs', String(runs))
  console.log(`Run ${runs} on ${dataDir}: written as revision ${revision}, in term ${engine.term}.`)
} finally {
  await engine.stop()
}
